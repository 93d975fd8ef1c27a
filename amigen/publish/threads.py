"""Work on several places at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from amigen.base.errors import AmigenError
from amigen.publish.wait import Waiter

_T = TypeVar("_T")
_R = TypeVar("_R")
_MAX_THREADS = 16
# Within one region, of which several are looked at: AWS limits the rate of an account by region.
_LOOKS = 4


def side_by_side(work: Callable[[_T], None], items: Sequence[_T], waiter: Waiter) -> None:
    """Do the work for every item in threads; `work` keeps its own errors.

    Raises:
        KeyboardInterrupt: After the threads have ended, each at its next look.
    """
    if not items:
        return
    with ThreadPoolExecutor(min(_MAX_THREADS, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            waiter.stop()
            for future in futures:
                future.cancel()
            raise


def attempt(work: Callable[[_T], _R], items: Sequence[_T], waiter: Waiter | None = None) -> list[_R | AmigenError]:
    """The result of the work for each item, in threads; one that fails has its error there and does not hide others.

    Args:
        waiter: Stopped by Ctrl-C, where the work waits.
    """
    found: dict[int, _R | AmigenError] = {}

    def one(number: int) -> None:
        try:
            found[number] = work(items[number])
        except AmigenError as error:
            found[number] = error

    side_by_side(one, range(len(items)), waiter or Waiter(lambda line: None))
    return [found[number] for number in range(len(items))]


def all_at_once(*looks: Callable[[], Any]) -> list[Any]:
    """The results of several looks, in their order, of which a few run at once; the first error ends it."""
    if not looks:
        return []
    with ThreadPoolExecutor(min(_LOOKS, len(looks))) as pool:
        return list(pool.map(lambda look: look(), looks))
