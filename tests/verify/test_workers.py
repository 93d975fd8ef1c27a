"""Sessions in processes of their own: they end without a word, and their end is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from testinfra.backend.local import LocalBackend

from amigen.base.errors import CouldNotCheckError
from amigen.base.interrupt import sigterm_as_interrupt
from amigen.facts import Facts
from amigen.verify.session import SessionInput
from amigen.verify.workers import run_sessions
from tests.specs import ROOT


def given(folder: Path, body: str) -> SessionInput:
    file = folder / "tests" / "test_it.py"
    file.parent.mkdir()
    file.write_text(f"import os, time\n\ndef test_it(host):\n    {body}\n")
    return SessionInput(folder=folder, files=(file,), phase="boot")


def test_they_end_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Results of all hosts, in processes other than this one; and at each of many ends, with the CLI's signals."""
    session = given(tmp_path, f"assert os.getpid() != {os.getpid()}")
    for number in range(10):
        hosts = {f"host-{number}-{n}": LocalBackend() for n in range(9)}
        with sigterm_as_interrupt():
            found = run_sessions(session, hosts, dict.fromkeys(hosts, Facts()))
        assert {key: [result.outcome for result in results] for key, results in found.items()} == {
            key: ["passed"] for key in hosts
        }

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_one_that_is_killed_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str], number: int) -> None:
    """As by a system without memory: an error, and no wait for ever; of a signal, the worker itself says nothing."""
    session = given(tmp_path, f"os.kill(os.getpid(), {number:d})")
    hosts = {f"killed-{n}": LocalBackend() for n in range(9)}
    with sigterm_as_interrupt(), pytest.raises(CouldNotCheckError, match="a process that runs checks was killed"):
        run_sessions(session, hosts, dict.fromkeys(hosts, Facts()))

    assert capfd.readouterr() == ("", "")


def test_they_end_with_their_parent(tmp_path: Path) -> None:
    """SIGTERM to the parent alone, in the midst of checks that do not end."""
    session = given(tmp_path, f"open({str(tmp_path)!r} + f'/{{os.getpid()}}.begun', 'w').close(); time.sleep(600)")
    script = f"""
from pathlib import Path
from testinfra.backend.local import LocalBackend
from amigen.base.interrupt import sigterm_as_interrupt
from amigen.facts import Facts
from amigen.verify.session import SessionInput
from amigen.verify.workers import run_sessions
given = SessionInput(folder=Path({str(session.folder)!r}), files=(Path({str(session.files[0])!r}),), phase="boot")
try:
    with sigterm_as_interrupt():
        hosts = {{f"host-{{n}}": LocalBackend() for n in range(9)}}
        run_sessions(given, hosts, dict.fromkeys(hosts, Facts()))
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*.begun")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()

    assert said == ("interrupted\n", "")
    assert [begun for begun in tmp_path.glob("*.begun") if Path(f"/proc/{begun.stem}").exists()] == []
