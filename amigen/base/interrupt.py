"""Signals that end amigen, and the programs that run for it then."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program the way Ctrl-C does: by an exception, with all clean-up."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    # Only the main thread may; and what is ignored, as SIGHUP below nohup, stays so.
    mine = threading.current_thread() is threading.main_thread()
    signals = [s for s in (signal.SIGTERM, signal.SIGHUP) if mine and signal.getsignal(s) != signal.SIG_IGN]
    old = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ending_programs() -> Iterator[None]:
    """Where it is interrupted, programs that run for other threads end too, for which these would wait."""
    try:
        yield
    except KeyboardInterrupt:
        tell(descendants(), signal.SIGTERM)
        raise


def tell(processes: list[int], number: int) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, number)


def descendants(process: int | None = None) -> list[int]:
    """The processes that one (or this one) has started, and what these have started, as far as they run."""
    return [each for child in children(process) for each in (child, *descendants(child))]


def children(process: int | None = None) -> list[int]:
    """The processes that one (or this one) has started itself and that run."""
    found: list[int] = []
    for path in Path(f"/proc/{process or 'self'}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found
