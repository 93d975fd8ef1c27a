"""Signals that end amigen, and the programs that run for it then."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from amigen.base.errors import CouldNotCheckError

_ended_by = signal.SIGINT


class Interrupted(KeyboardInterrupt):
    """Not KeyboardInterrupt itself: where that ends an `exec` of text, as in `dataclass`, Python remembers it, and
    `python -m amigen` ends by SIGINT whatever its exit code is (`unhandled_keyboard_interrupt` in CPython's main.c).
    """


def note_signal(number: int) -> None:
    """Remember the signal that ends this process, for the exit code."""
    global _ended_by
    _ended_by = signal.Signals(number)


def interrupted_exit_code() -> int:
    """128 and the signal's number, as a shell reports it: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + _ended_by


@contextlib.contextmanager
def bounded(seconds: float | None) -> Iterator[None]:
    """Interrupt the block after so many seconds, as Ctrl-C does. Only in the main thread.

    Raises:
        CouldNotCheckError: The time is over.
    """
    over = False

    def end(_number: int, _frame: Any) -> None:
        nonlocal over
        over = True
        raise Interrupted

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
def signal_handlers(handler: Callable[[int, Any], None], *signals: signal.Signals) -> Iterator[None]:
    """Handle these signals in the block; before and after it as before."""
    # Only the main thread may set handlers. Ignored signals, such as SIGHUP under nohup, stay ignored.
    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in signals if main and signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, so that all clean-up runs."""

    def interrupt(number: int, _frame: Any) -> None:
        note_signal(number)
        raise Interrupted

    with signal_handlers(interrupt, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield


@contextlib.contextmanager
def ending_programs() -> Iterator[None]:
    """On an interrupt, end the programs that other threads wait for."""
    try:
        yield
    except KeyboardInterrupt:
        tell(descendants(), signal.SIGTERM)
        raise


def tell(processes: list[int], number: int) -> None:
    """Send a signal to the processes that still exist."""
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, number)


def descendants(process: int | None = None) -> list[int]:
    """All running descendants of a process (default: this one)."""
    return [each for child in children(process) for each in (child, *descendants(child))]


def children(process: int | None = None) -> list[int]:
    """The running children of a process (default: this one)."""
    found: list[int] = []
    for path in Path(f"/proc/{process or 'self'}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found
