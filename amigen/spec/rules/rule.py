"""One rule: its function, and the values that it judges by; and what several rules look for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage

T = TypeVar("T")


def not_of_spec(spec: NodeImage, platform: str, path: str) -> Iterator[Problem]:
    """A finding where the spec does not have the platform."""
    if platform not in spec.platforms:
        hint = f"platforms of this spec: {', '.join(spec.platforms)}"
        yield Problem(path=path, message=f"{platform} is not a platform of this spec", hint=hint)


def duplicates(values: Iterable[T]) -> Iterator[tuple[int, T, int]]:
    """Values that came before: their place, the value, and the place of the first one."""
    first: dict[T, int] = {}
    for index, value in enumerate(values):
        if value in first:
            yield index, value, first[value]
        first.setdefault(value, index)


class Rule:
    """A function that yields findings, and the key paths without which its findings could be false.

    A finding about an unreadable value is dropped in any case. `needs` names other values, such as `platforms` for the
    finding that a package names a platform that the spec does not have.
    """

    def __init__(self, check: Callable[[NodeImage], Iterable[Problem]], *needs: str) -> None:
        self.check = check
        self.needs = needs
