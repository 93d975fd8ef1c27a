"""Counts and lists as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, word: str) -> str:
    """`1 module`, `2 modules`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def shortened(items: Sequence[str], most: int, between: str = ", ") -> str:
    """The first `most` items, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return between.join(items[:most]) + more
