"""What a rule is, what it says, and what several rules look for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage

T = TypeVar("T")
Check = Callable[[NodeImage], Iterable[Problem]]


@dataclass(frozen=True)
class Rule:
    """A function that yields findings, and the key paths without which its findings could be false.

    A finding about an unreadable value is dropped in any case. `needs` names other values, such as `platforms` for the
    finding that a package names a platform that the spec does not have.
    """

    check: Check
    needs: tuple[str, ...]


def rule(*needs: str) -> Callable[[Check], Rule]:
    """Make a function a rule; `needs` as of `Rule`."""
    return lambda check: Rule(check, needs)


def problem(path: str, message: str, hint: str = "", source: str = "") -> Problem:
    """An error at a key path."""
    return Problem(path=path, message=message, hint=hint, source=source)


def warning(path: str, message: str, hint: str = "", source: str = "") -> Problem:
    """A warning at a key path."""
    return Problem(severity="warning", path=path, message=message, hint=hint, source=source)


def not_of_spec(spec: NodeImage, platform: str, path: str) -> Iterator[Problem]:
    """A finding where the spec does not have the platform."""
    if platform not in spec.platforms:
        hint = f"platforms of this spec: {', '.join(spec.platforms)}"
        yield problem(path, f"{platform} is not a platform of this spec", hint)


def duplicates(values: Iterable[T]) -> Iterator[tuple[int, T, int]]:
    """Values that came before: their place, the value, and the place of the first one."""
    first: dict[T, int] = {}
    for index, value in enumerate(values):
        if value in first:
            yield index, value, first[value]
        first.setdefault(value, index)
