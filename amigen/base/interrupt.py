"""Signals that end amigen, and the programs that run for it then."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from amigen.base.errors import CouldNotCheckError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ended_by = signal.SIGINT


class Interrupted(KeyboardInterrupt):
    """A signal, which is its argument.

    Not KeyboardInterrupt itself: where that ends an `exec` of text, as in `dataclass`, Python remembers it, and
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

    def end(number: int, _frame: Any) -> None:
        nonlocal over
        over = True
        raise Interrupted(number)

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
        raise Interrupted(number)

    with signal_handlers(interrupt, signal.SIGINT, signal.SIGTERM, signal.SIGHUP), _repeated_where_dropped():
        yield


@contextlib.contextmanager
def _repeated_where_dropped() -> Iterator[None]:
    """Send a signal again whose exception Python drops: in a finalizer or in a callback of a weak reference, which each
    import has (`_get_module_lock` in CPython's importlib). Without it the signal would have no effect.
    """

    def hook(dropped: Any) -> None:
        if isinstance(dropped.exc_value, Interrupted):
            # Not here: it would be dropped again.
            threading.Timer(0.01, send_again, dropped.exc_value.args).start()
        else:
            before(dropped)

    def send_again(number: int) -> None:
        if callable(signal.getsignal(number)):
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = before


class ProgramPool(ThreadPoolExecutor):
    """Threads that wait for programs. On an interrupt in its block, the programs are ended, and so are the threads."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        # An exception between the start of a thread and the note of it would leave a thread that nobody ends.
        with _signals_held():
            return super().submit(fn, *args, **kwargs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(wait=False, cancel_futures=kind is not None)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            ending = threading.Thread(target=self.shutdown)
            ending.start()
            # Again and again: a thread that was about to start a program starts it.
            while ending.is_alive():
                tell(descendants(), signal.SIGTERM)
                ending.join(0.1)
        self.shutdown()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals that come in this block take effect at its end."""
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    try:
        with signal_handlers(lambda number, _frame: held.append(number), *numbers):
            yield
    finally:
        for number in held:
            signal.raise_signal(number)


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
    # Processes and threads may end meanwhile.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process or 'self'}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(word) for word in (thread / "children").read_text().split()]
    return found
