"""Counts, lists and known names as sentences have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def counted(number: int, word: str) -> str:
    """`1 module`, `2 modules`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def shortened(items: Sequence[str], most: int, between: str = ", ") -> str:
    """The first `most` items, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return between.join(items[:most]) + more


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the word, in upper or lower case; None where none is."""
    lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower()[:200], lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None
