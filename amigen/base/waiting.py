"""Wait for a condition by asking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float) -> bool:
    """Call `condition` until it is true.

    Args:
        condition: Asked at least once; its exceptions end the wait.
        seconds: Longest time to wait.
        every: Seconds between two calls.

    Returns:
        Whether it became true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
