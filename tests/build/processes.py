"""Programs that tests start, and that never outlive them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def _hear_ctrl_c() -> None:
    """What is started in the background by a shell that is not interactive ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(command: Sequence[str], **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A program with its output in a pipe, as one that a person started in a terminal: Ctrl-C reaches it."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_hear_ctrl_c,
        **given,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_ended(process: int) -> bool:
    """Whether it is gone, or waits for nothing but its parent."""
    try:
        return not Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return True


def running(*words: str) -> list[str]:
    """The command lines with all these words, of what runs now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if all(word in line for word in words)]
