"""An interrupted build: ask all started programs to end, and wait for them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from amigen.base.interrupt import Interrupted, children, note_signal, signal_handlers


class Stop:
    """Whether the build has to end, and what must be told so.

    Attributes:
        told: A signal arrived; the thread that waits for the build then asks it to end.
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
        """Whether the build was asked to end."""
        return self._event.is_set()

    @contextlib.contextmanager
    def telling(self, call: Callable[[], None], pid: int = 0) -> Iterator[None]:
        """Call this when the build has to end; at once when that is known already.

        `pid` is the process that the call signals: a second signal would make Packer exit without clean-up.
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


@contextlib.contextmanager
def signals_noted(stop: Stop) -> Iterator[None]:
    """Only note signals in this block: an exception between the start of a thread and the note of it would leave a
    running build that is never asked to end. A signal after that interrupts.
    """

    def note(number: int, _frame: Any) -> None:
        note_signal(number)
        if stop.asked:
            raise Interrupted(number)
        stop.told = True

    try:
        with signal_handlers(note, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield
    finally:
        if stop.told and not stop.asked:
            stop.ask()
