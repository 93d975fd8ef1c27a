"""One place, from the look at it to the end of its plan: what is known by now, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.publish.actions import PlacePlan
from amigen.publish.ledger import Ledger
from amigen.publish.names import Place
from amigen.publish.wait import Waiter


@dataclass(kw_only=True)
class PlaceRun:
    """One place on its way.

    Attributes:
        plan: What is to be done; without actions where the place could not be looked at.
        applied: Whether its plan was begun.
        done: Titles of the actions that were done.
        warning: What EC2 could not validate of the version that was made.
        error: Why it could not be planned, or why it stopped; None where it got to its end.
    """

    plan: PlacePlan
    image: str | None
    template: str | None
    version: int | None
    default: int | None = None
    applied: bool = False
    done: list[str] = field(default_factory=list)
    warning: str = ""
    error: AmigenError | None = None

    @property
    def place(self) -> Place:
        """Where."""
        return self.plan.place

    @classmethod
    def of(cls, place: Place, found: PlacePlan | AmigenError) -> PlaceRun:
        """The beginning: a plan, or why there is none."""
        error = found if isinstance(found, AmigenError) else None
        plan = PlacePlan(place=place, actions=()) if isinstance(found, AmigenError) else found
        return cls(plan=plan, image=plan.image, template=plan.template, version=plan.version, error=error)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the steps of a plan need of the world.

    Attributes:
        canary: Proves one version of a template, as `amigen.publish.canary.CanaryRunner`.
    """

    aws: Aws
    ledger: Ledger
    waiter: Waiter
    canary: Callable[..., None] | None = None
