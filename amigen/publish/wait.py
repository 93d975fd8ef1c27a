"""Long waits for AWS, and work on several places at once: progress in words, and an end when Ctrl-C asks for it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from amigen.base.errors import AmigenError, AwsError
from amigen.base.waiting import wait_for

_T = TypeVar("_T")
_R = TypeVar("_R")
_MAX_THREADS = 16
# Within one region, of which several are looked at: AWS limits the rate of an account by region.
_LOOKS = 4


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
        self.say = say
        self._every = every
        self._at_most = at_most
        self._stop = threading.Event()

    def stop(self) -> None:
        """Make all waits end now."""
        self._stop.set()

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

        def once() -> _T | None:
            nonlocal said, last
            result, seen = look()
            now = time.monotonic()
            if seen and (seen != last or now - said > 60):
                self.say(f"{what}: {seen} ({_clock(now - began)})")
                last, said = seen, now
            return result

        def pause(seconds: float) -> None:
            if self._stop.wait(seconds):
                raise StoppedError(f"{what}: not waited for", "it continues in AWS; run the same command again")

        found = wait_for(
            once,
            seconds=self._at_most if at_most is None else at_most,
            every=self._every if every is None else min(every, self._every),
            sleep=pause,
        )
        if found is None:
            hint = "it continues in AWS; run the same command again to wait on, or give more time with --timeout"
            raise TooLongError(f"{what}: no end after {_clock(time.monotonic() - began)}; last seen: {last}", hint)
        return found

    def visible(self, what: str, find: Callable[[], _T | None], *, at_most: float) -> _T:
        """What was made just now, as soon as AWS shows it: a look that does not see it yet proves nothing.

        Raises:
            TooLongError, StoppedError: As `until`.
        """

        def look() -> tuple[_T | None, str]:
            found = find()
            return found, "not visible yet" if found is None else ""

        return self.until(what, look, every=2, at_most=at_most)

    def settled(
        self,
        what: str,
        look: Callable[[], _T],
        is_right: Callable[[_T], bool],
        *,
        looks: int,
        every: float | None = None,
    ) -> _T:
        """What a look sees as soon as it is right, or after so many looks: AWS is eventually consistent
        (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
        """
        numbers = itertools.count(1)

        def once() -> tuple[_T | None, str]:
            found = look()
            return (found if is_right(found) or next(numbers) >= looks else None), ""

        return self.until(what, once, every=every)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def attempt(work: Callable[[_T], _R], items: Sequence[_T], waiter: Waiter | None = None) -> list[_R | AmigenError]:
    """The result of the work for each item, in threads; one that fails has its error there and does not hide others.

    Args:
        work: What to do.
        items: Each is worked on once.
        waiter: Stopped by Ctrl-C, where the work waits.

    Raises:
        KeyboardInterrupt: After the threads have ended, each at its next look.
    """

    def one(item: _T) -> _R | AmigenError:
        try:
            return work(item)
        except AmigenError as error:
            return error

    with ThreadPoolExecutor(min(_MAX_THREADS, len(items)) or 1) as pool:
        futures = [pool.submit(one, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            if waiter:
                waiter.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def batches(items: Sequence[_T], most: int) -> Iterator[list[_T]]:
    """The items, as many at once as a call takes."""
    return (list(items[start : start + most]) for start in range(0, len(items), most))


def all_at_once(*looks: Callable[[], Any]) -> list[Any]:
    """The results of several looks, in their order, of which a few run at once; the first error ends it."""
    with ThreadPoolExecutor(_LOOKS) as pool:
        return list(pool.map(lambda look: look(), looks))
