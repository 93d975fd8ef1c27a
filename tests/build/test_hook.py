"""Packer's question and amigen's answer, over the real socket and the real program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from amigen.base.errors import ChecksFailedError
from amigen.build.hook import Event, HookServer

EVENT = {
    "AMIGEN_EVENT": "proven",
    "AMIGEN_INSTANCE": "i-1",
    "AMIGEN_HOST": "127.0.0.1",
    "AMIGEN_PORT": "2222",
    "AMIGEN_USER": "admin",
}


def ask(command: str) -> subprocess.CompletedProcess[str]:
    """What Packer's shell-local does."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env={**os.environ, **EVENT},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_event_arrives_and_the_build_goes_on(folder: Path) -> None:
    heard: list[Event] = []
    with HookServer(folder / "hook", heard.append) as server:
        done = ask(server.command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert heard == [Event(name="proven", instance="i-1", host="127.0.0.1", port=2222, user="admin")]


def test_a_failure_ends_the_build_and_says_why(folder: Path) -> None:
    def refuse(_event: Event) -> None:
        raise ChecksFailedError("test_package[ipvsadm] failed")

    with HookServer(folder / "hook", refuse) as server:
        done = ask(server.command)
        assert isinstance(server.failure, ChecksFailedError)
    assert (done.returncode, done.stdout) == (1, "test_package[ipvsadm] failed\n")


def test_it_serves_event_after_event(folder: Path) -> None:
    heard: list[Event] = []
    with HookServer(folder / "hook", heard.append) as server:
        codes = [ask(server.command).returncode for _ in range(3)]
    assert (codes, len(heard)) == ([0, 0, 0], 3)


def test_without_amigen_the_build_ends(folder: Path) -> None:
    with HookServer(folder / "hook", lambda _event: None) as server:
        command = server.command
    done = ask(command)
    assert done.returncode == 1
    assert "amigen is gone" in done.stdout


def test_a_path_with_spaces_and_quotes(folder: Path) -> None:
    quoted = folder / "it's here"
    quoted.mkdir()
    with HookServer(quoted / "hook", lambda _event: None) as server:
        assert ask(server.command).returncode == 0
    assert sys.executable in server.command
