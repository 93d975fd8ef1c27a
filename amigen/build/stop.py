"""An interrupted build: everything that was started is told to end, and is waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from amigen.base.interrupt import children, note_signal


class Stop:
    """Whether the build has to end, and what must be told so.

    Attributes:
        told: A signal has come; whoever waits for the build then asks it to end.
    """

    def __init__(self) -> None:
        self.told = False
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []
        self._told: set[int] = set()
        self._ended: set[int] = set()

    @property
    def asked(self) -> bool:
        """Whether somebody wants the build to end."""
        return self._event.is_set()

    @contextlib.contextmanager
    def telling(self, call: Callable[[], None], pid: int = 0) -> Iterator[None]:
        """Call this when the build has to end; at once when that is known already.

        `pid` is the process that the call tells: a second signal would make Packer leave without cleaning up.
        """
        with self._lock:
            self._calls.append(call)
            self._told.add(pid)
            late = self.asked and pid not in self._ended
        if late:
            call()
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)
                self._told.discard(pid)

    def ask(self) -> None:
        """End the build. Programs that run for it get SIGTERM; Packer cleans up then."""
        with self._lock:
            self._event.set()
            calls = list(self._calls)
        for call in calls:
            call()
        self.end_children()

    def end_children(self) -> None:
        """SIGTERM, once, to each program that runs now and has no call of its own; to be repeated until all is over:
        a thread that has not yet heard of the end may start another one.
        """
        with self._lock:
            for child in set(children()) - self._told - self._ended:
                self._ended.add(child)
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGTERM)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_noted(stop: Stop) -> Iterator[None]:
    """As long as this lasts, a signal is only noted: an exception could come between the start of a thread and the note
    of it, and the build would be waited for that nobody has told to end. One that comes after it was told interrupts.
    """

    def note(number: int, _frame: Any) -> None:
        note_signal(number)
        if stop.asked:
            raise KeyboardInterrupt
        stop.told = True

    # Who ignores a signal (nohup) goes on ignoring it; only the main thread hears any.
    main = threading.current_thread() is threading.main_thread()
    heard = [number for number in _SIGNALS if main and signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.signal(number, note) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        if stop.told and not stop.asked:
            stop.ask()
