"""`amigen verify` that is told to end, or killed, while a target does not answer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amigen.base.waiting import wait_until
from amigen.verify.run import _AT_ONCE
from amigen.vm.scratch import sweep
from tests.build.processes import has_ended
from tests.specs import ROOT
from tests.verify.images import SPEC

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: sockets lie in its temporary folders."""
    with tempfile.TemporaryDirectory(prefix="a-", dir="/tmp") as name:
        yield Path(name)


@contextlib.contextmanager
def verifying(folder: Path, *targets: str) -> Iterator[subprocess.Popen[str]]:
    """With an ssh that says when it has begun, and never answers."""
    (folder / "spec.yaml").write_text(SPEC)
    for name in ("bin", "tmp"):
        (folder / name).mkdir()
    ssh = folder / "bin/ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ >>{folder}/begun\nexec sleep 600\n")
    ssh.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "amigen", "verify", "spec.yaml", *targets],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": "/nonexistent",
            "TMPDIR": str(folder / "tmp"),
        },
    )
    try:
        # One is enough: a signal has to end those that are just being started, too.
        until(lambda: begun(folder) or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()
        for word in (folder / "begun").read_text().split():
            with contextlib.suppress(OSError):
                os.kill(int(word), signal.SIGKILL)


def begun(folder: Path) -> int:
    file = folder / "begun"
    return len(file.read_text().splitlines()) if file.exists() else 0


def until(what: Callable[[], object]) -> None:
    assert wait_until(lambda: bool(what()), seconds=300, every=0.05)


def each_ssh_has_ended(folder: Path) -> bool:
    return all(has_ended(int(word)) for word in (folder / "begun").read_text().split())


def left(folder: Path) -> list[str]:
    return [path.name for path in (folder / "tmp").rglob("*") if path.name.startswith(("verify-", "amigen-verify"))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("hosts", [1, 9, _AT_ONCE + 9])
def test_it_says_so_and_leaves_nothing(number: int, hosts: int, folder: Path) -> None:
    """Neither a folder nor an ssh; and it does not wait for one that never answers."""
    with verifying(folder, *(f"ssh://root@node{n}" for n in range(hosts))) as process:
        until(lambda: left(folder))
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
        assert (process.returncode, said.strip()) == (128 + number, "amigen: interrupted")
        assert left(folder) == []
        until(lambda: each_ssh_has_ended(folder))


def test_what_a_killed_one_leaves_is_swept(folder: Path) -> None:
    with verifying(folder, "ssh://root@node") as process:
        until(lambda: left(folder))
        process.kill()
        process.communicate(timeout=300)
    (home,) = (folder / "tmp").iterdir()
    assert [path.name.partition("-")[0] for path in sweep(home)] == ["verify"]
    assert left(folder) == []


def test_nohup_stays_nohup() -> None:
    """A terminal that goes away ends it only where nobody said otherwise."""
    script = "import signal; from amigen.base.interrupt import signals_as_interrupt\n"
    script += "with signals_as_interrupt(): print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    done = subprocess.run(["nohup", sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


PLACES = {
    # As `dataclass` does while a module is imported.
    "an exec of text": "exec('os.kill(os.getpid(), NUMBER)')",
    # As each import has one; Python drops its exceptions.
    "a callback of a weak reference": (
        "thing = set()\n        kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), NUMBER))\n        del thing"
    ),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_ends_it_wherever_it_comes(number: int, place: str, tmp_path: Path) -> None:
    """The exit code stays ours under `python -m`."""
    (tmp_path / "told.py").write_text(
        "import os, sys, time, weakref\n"
        "from amigen.base.interrupt import interrupted_exit_code, signals_as_interrupt\n"
        "try:\n"
        "    with signals_as_interrupt():\n"
        f"        {PLACES[place].replace('NUMBER', f'{number:d}')}\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(interrupted_exit_code())\n"
    )
    done = subprocess.run([sys.executable, "-m", "told"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 128 + number


LATE = """
import os, subprocess, threading, time
from amigen.base.interrupt import ProgramPool, signals_as_interrupt

class Thread(threading.Thread):
    def start(self):
        super().start()
        # When it runs, and before the pool knows of it.
        if AT_START:
            threading.Thread = plain
            running.wait()
            os.kill(os.getpid(), 2)

def program():
    running.set()
    time.sleep(0.5)
    print(subprocess.run(["sleep", "600"]).returncode)

running = threading.Event()
plain, threading.Thread = threading.Thread, Thread
with signals_as_interrupt(), ProgramPool(1) as pool:
    pool.submit(program)
    pool.submit(print, "it goes on")
    running.wait()
    os.kill(os.getpid(), 2)
"""


@pytest.mark.parametrize("at_start", [True, False])
def test_a_program_that_starts_after_the_interrupt_is_ended_too(at_start: bool) -> None:
    """Also where the signal comes while its thread starts; and what is queued does not begin."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LATE.replace("AT_START", str(at_start))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "-15\n"


def test_a_bound_ends_it(folder: Path) -> None:
    """A host that never answers: exit code 7, and the message says which option raises the bound."""
    with verifying(folder, "ssh://root@node", "--timeout", "10") as process:
        _, said = process.communicate(timeout=300)
    assert process.returncode == 7, said
    assert "not finished after 10 s" in said
    until(lambda: each_ssh_has_ended(folder))
