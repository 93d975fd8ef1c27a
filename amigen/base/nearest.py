"""The known name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the word, in upper or lower case; None where none is."""
    lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower()[:200], lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None
