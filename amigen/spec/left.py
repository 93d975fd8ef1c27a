"""Lists without the entries that could not be read: which place in the document each of the others has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from amigen.base.errors import Problem

# A key path in a message.
_PATH = re.compile(r"[A-Za-z][\w.]*(?:\[[0-9]{1,9}\][\w.]*)+")


class Left:
    """What is left of each list."""

    def __init__(self) -> None:
        self._new: dict[str, dict[int, str]] = {}
        self._old: dict[str, dict[int, str]] = {}

    def keep(self, path: str, left: list[int]) -> None:
        """Note which entries of the list are left, by their places in the document."""
        self._new[path] = {old: str(new) for new, old in enumerate(left)}
        self._old[path] = dict(enumerate(map(str, left)))

    def place_left(self, path: str) -> str:
        """A key path of the document as one of what is left; an entry that is gone has the place `gone`."""
        return _moved(path, self._new, back=False)

    def as_written(self, found: Iterable[Problem]) -> Iterator[Problem]:
        """Findings about what is left, with the places that the document has."""
        if not self._old:
            yield from found
            return
        for problem in found:
            path = _moved(problem.path, self._old, back=True)
            message = _PATH.sub(lambda each: _moved(each[0], self._old, back=True), problem.message)
            yield replace(problem, path=path, message=message)


def _moved(path: str, places: dict[str, dict[int, str]], *, back: bool) -> str:
    """The path with other places in its lists, which `places` names by their paths in the document.

    Args:
        back: The path is one of what is left, and becomes that in the document; else the other way round.
    """
    given = out = ""
    for number, piece in enumerate(re.split(r"\[([0-9]{1,9})\]", path)):
        place = piece
        if number % 2:
            moves = places.get(out if back else given)
            place = f"[{piece if moves is None else moves.get(int(piece), 'gone')}]"
            piece = f"[{piece}]"
        given += piece
        out += place
    return out
