"""Signals that end amigen, and the programs that run for it then."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amigen.base.errors import CouldNotCheckError

# The signal that ended this process; Ctrl-C, which Python itself turns into an exception, where none was noted.
_ended_by = signal.SIGINT


def note_signal(number: int) -> None:
    """Remember the signal that ends this process, for its exit code."""
    global _ended_by
    _ended_by = signal.Signals(number)


def interrupted_exit_code() -> int:
    """128 and the signal's number, as a shell reports it: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + _ended_by


@contextlib.contextmanager
def bounded(seconds: float | None) -> Iterator[None]:
    """End what runs here after so many seconds, as Ctrl-C would; only in the main thread.

    Raises:
        CouldNotCheckError: The time was over.
    """
    over = False

    def end(_number: int, _frame: Any) -> None:
        nonlocal over
        over = True
        raise KeyboardInterrupt

    if seconds is None:
        yield
        return
    old = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except KeyboardInterrupt:
        if over:
            raise CouldNotCheckError(
                f"not finished after {seconds:g} s", "raise --timeout, or see what the last lines above wait for"
            ) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program the way Ctrl-C does: by an exception, with all clean-up."""

    def interrupt(number: int, _frame: Any) -> None:
        note_signal(number)
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
