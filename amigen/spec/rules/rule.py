"""One rule: what it looks for, and which values it judges by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage


class Rule:
    """A function that yields findings, and the key paths without which its findings could be false.

    A finding about a value that could not be read is dropped in any case; `needs` are the other values, such as the
    platforms for the finding that a package names one that is not among them.
    """

    def __init__(self, check: Callable[[NodeImage], Iterable[Problem]], *needs: str) -> None:
        self.check = check
        self.needs = needs


class Broken:
    """The key paths of values that could not be read."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._paths = frozenset(paths)
        self._holders = frozenset(holder for path in self._paths for holder in _holders(path))

    def touches(self, path: str) -> bool:
        """Whether the path is that of such a value, of one in it, or of one that holds it."""
        if not path:
            return False
        return path in self._holders or path in self._paths or any(holder in self._paths for holder in _holders(path))


def _holders(path: str) -> Iterator[str]:
    """What may hold the value at the path: the path up to each of its separators."""
    return (path[:end] for end, sign in enumerate(path) if sign in ".[" and end)
