"""Wait for a condition by asking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


def attempts(*, seconds: float, every: float, sleep: Callable[[float], object] | None = None) -> Iterator[None]:
    """Let a loop look again and again, at least once, until the time is over; arguments as for `wait_for`."""
    deadline = time.monotonic() + seconds
    yield
    while time.monotonic() < deadline:
        (sleep or time.sleep)(every)
        yield


def wait_for(
    look: Callable[[], _T | None], *, seconds: float, every: float, sleep: Callable[[float], object] | None = None
) -> _T | None:
    """Call `look` until it has a result.

    Args:
        look: Asked at least once; its exceptions end the wait.
        every: Seconds between two calls.
        sleep: How to pause; an exception of it ends the wait.

    Returns:
        The result; None where there was none in time.
    """
    for _ in attempts(seconds=seconds, every=every, sleep=sleep):
        if (found := look()) is not None:
            return found
    return None


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float) -> bool:
    """Call `condition` until it is true; whether it became true in time. Arguments as for `wait_for`."""
    return wait_for(lambda: condition() or None, seconds=seconds, every=every) is not None
