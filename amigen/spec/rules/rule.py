"""One rule: its function, and the values that it judges by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage


class Rule:
    """A function that yields findings, and the key paths without which its findings could be false.

    A finding about an unreadable value is dropped in any case. `needs` names other values, such as `platforms` for the
    finding that a package names a platform that the spec does not have.
    """

    def __init__(self, check: Callable[[NodeImage], Iterable[Problem]], *needs: str) -> None:
        self.check = check
        self.needs = needs
