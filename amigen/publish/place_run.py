"""One place while its plan is applied: how far it has come, where that is written down, and who proves a canary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.publish.actions import PlacePlan
from amigen.publish.names import Place
from amigen.publish.wait import Waiter


class Canary(Protocol):
    """Proves one version of a template on one instance; see `amigen.publish.canary`."""

    def __call__(self, place: Place, *, name: str, template: str, version: int, image: str) -> None:
        """Raise ChecksFailedError or CouldNotCheckError where it is not proven."""


class Ledger(Protocol):
    """Where progress is written down: the ledger, or nowhere."""

    def restart(self, key: str, *, digest: str, built: str) -> None:
        """Begin an entry anew when it speaks of another image."""

    def image(self, key: str) -> str:
        """The image that was noted last; empty where there is none."""
        ...

    def warning(self, key: str, version: int) -> str:
        """What EC2 could not validate of a version; empty: nothing is known."""
        ...

    def note(self, key: str, *steps: str, **fields: object) -> None:
        """Write down what is done."""

    def went_back(self, key: str, *, default: int) -> None:
        """Write down that `$Default` went back, and the parameter with it."""


class NullLedger:
    """Writes nothing down."""

    def restart(self, key: str, *, digest: str, built: str) -> None:
        """Nothing."""

    def image(self, key: str) -> str:
        """Nothing."""
        return ""

    def warning(self, key: str, version: int) -> str:
        """Nothing."""
        return ""

    def note(self, key: str, *steps: str, **fields: object) -> None:
        """Nothing."""

    def went_back(self, key: str, *, default: int) -> None:
        """Nothing."""


@dataclass(kw_only=True)
class PlaceRun:
    """One place on its way: what is known by now, and what came of it.

    Attributes:
        done: Titles of the actions that were done.
        warning: What EC2 could not validate of the version that was made.
        error: Why it stopped; None where it got to its end.
    """

    plan: PlacePlan
    image: str | None
    template: str | None
    version: int | None
    default: int | None = None
    done: list[str] = field(default_factory=list)
    warning: str = ""
    error: AmigenError | None = None


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the steps of a plan need of the world."""

    aws: Aws
    ledger: Ledger
    waiter: Waiter
    canary: Canary | None = None
