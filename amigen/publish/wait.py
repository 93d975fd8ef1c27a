"""Long waits: look again and again, say what is seen, stop when asked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from amigen.base.errors import AwsError

_T = TypeVar("_T")


class StoppedError(AwsError):
    """The person pressed Ctrl-C while this was waiting."""


class TooLongError(AwsError):
    """A wait was given up."""


class Waiter:
    """How a run waits.

    Args:
        say: Takes one line of progress; called from several threads.
        every: Seconds between two looks.
        at_most: Seconds until a wait is given up.
    """

    def __init__(self, say: Callable[[str], None], *, every: float = 15, at_most: float = 7200) -> None:
        self._say = say
        self._every = every
        self._at_most = at_most
        self._stop = threading.Event()

    def stop(self) -> None:
        """Make all waits end now."""
        self._stop.set()

    def say(self, line: str) -> None:
        """One line of progress."""
        self._say(line)

    def until(
        self,
        what: str,
        look: Callable[[], tuple[_T | None, str]],
        *,
        every: float | None = None,
        at_most: float | None = None,
    ) -> _T:
        """Look until there is a result.

        Args:
            what: What is waited for, in words.
            look: Gives the result or None, and what it saw; what it saw is said when it changes, and every minute.
            every, at_most: For what AWS does in seconds: no longer between two looks than this, and a bound of its own.

        Raises:
            TooLongError: It took too long; what was begun goes on in AWS, and the next run waits for it again.
            StoppedError: Somebody called `stop`.
        """
        began = said = time.monotonic()
        last = ""
        pause = self._every if every is None else min(every, self._every)
        bound = self._at_most if at_most is None else at_most
        while True:
            result, seen = look()
            now = time.monotonic()
            if seen and (seen != last or now - said > 60):
                self._say(f"{what}: {seen} ({_clock(now - began)})")
                last, said = seen, now
            if result is not None:
                return result
            if now - began > bound:
                hint = "it continues in AWS; run the same command again to wait on, or give more time with --timeout"
                raise TooLongError(f"{what}: no end after {_clock(now - began)}; last seen: {seen}", hint)
            if self._stop.wait(pause):
                raise StoppedError(f"{what}: not waited for", "it continues in AWS; run the same command again")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
