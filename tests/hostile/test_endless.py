"""Programs and nodes that print without end, or never end: one message, within bounds of memory and time."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
from pathlib import Path

import pytest

from amigen.base.errors import CouldNotCheckError, ToolError
from amigen.base.processes import EndlessOutputError, run_capped, run_tool
from amigen.base.waiting import wait_until
from amigen.connections.model import UnreachableError
from amigen.connections.ssm import unpacked
from amigen.kubeproxy import node_facts
from amigen.vm.ssh import SshTarget
from tests.build.processes import has_ended
from tests.hostile.test_documents import CLIENTS, HEAD, python

MEGABYTE = 1 << 20


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_program_without_an_end(stream: str) -> None:
    """It is stopped at the bound, whichever stream it prints to; so is what it started."""
    with pytest.raises(EndlessOutputError, match="more than 1048576 bytes"):
        run_capped(["sh", "-c", f"cat /dev/zero {stream} & wait"], timeout=300, limit=MEGABYTE)


def test_a_tool_without_an_end() -> None:
    with pytest.raises(ToolError, match="cannot count: cat does not end"):
        run_tool(["cat", "/dev/zero"], doing="count", timeout=300)


def test_both_streams_and_input_at_once() -> None:
    """More than pipes hold, in all directions."""
    text = b"x" * (3 * MEGABYTE)
    done = run_capped(["sh", "-c", "tee /dev/stderr; exit 3"], stdin=text, timeout=300)

    assert (done.returncode, done.stdout, done.stderr) == (3, text, text)


def test_who_does_not_read_its_input() -> None:
    assert run_capped(["true"], stdin=b"x" * MEGABYTE, timeout=300).returncode == 0


@pytest.mark.parametrize("script", ["wait", "exec >&- 2>&-; wait"])
def test_a_program_that_never_ends(script: str, tmp_path: Path) -> None:
    """Also where it has closed what it could print to; and what it has started does not go on without it."""
    started = tmp_path / "started"
    with pytest.raises(subprocess.TimeoutExpired):
        run_capped(["sh", "-c", f"sleep 1000 & echo $! >{started}; {script}"], timeout=2)
    assert wait_until(lambda: has_ended(int(started.read_text())), seconds=300, every=0.05)


def test_a_bomb_from_an_instance() -> None:
    """A few kilobytes that unpack to more than is kept."""
    packed = [base64.b64encode(gzip.compress(b"\0" * size)).decode() for size in (17 * MEGABYTE, 1)]
    with pytest.raises(UnreachableError, match="cannot be unpacked: the gzip data unpacks to more than"):
        unpacked("\n".join(["0", *packed]))


@pytest.fixture
def endless_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """An ssh that prints what such a node would."""
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(f"#!/bin/sh\n{request.param}\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")


both_streams = pytest.mark.parametrize("endless_ssh", ["cat /dev/zero", "cat /dev/zero >&2"], indirect=True)


@pytest.mark.slow
@pytest.mark.usefixtures("endless_ssh")
@both_streams
def test_verifying_a_node_that_answers_without_end(tmp_path: Path) -> None:
    """No verdict, and the node is named."""
    (tmp_path / "spec.yaml").write_text(HEAD)
    done = python(
        "-m", "amigen", "verify", "spec.yaml", "ssh://root@node", memory=CLIENTS, cwd=tmp_path, PATH=os.environ["PATH"]
    )

    assert done.returncode == 7, done.stderr[-2000:]
    assert "ssh://root@node" in done.stderr
    assert "its answer is too long" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("endless_ssh")
@both_streams
def test_looking_at_a_node_that_answers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_facts, "_ANSWER_BYTES", MEGABYTE)
    with pytest.raises(CouldNotCheckError, match="ssh://root@node: its answer is too long"):
        node_facts.node_at("ssh://root@node").run("true")


@pytest.mark.usefixtures("endless_ssh")
@both_streams
def test_a_machine_that_answers_without_end(tmp_path: Path) -> None:
    """A VM of a build or of a verification."""
    machine = SshTarget(host="node", port=22, user="root", key=tmp_path / "key", control=tmp_path)
    with pytest.raises(ToolError, match="the output of this command is too long: it printed more than"):
        machine.run("true")
