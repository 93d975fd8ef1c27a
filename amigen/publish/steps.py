"""The steps of a publish: what one is called and does, the plan of a place, and its way to the end of its plan.

A plan is a list of steps, each a class of `image_steps`, `template_steps` or `promote`; applying it does them and
nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.publish.ledger import Ledger
from amigen.publish.names import Place
from amigen.publish.wait import Waiter, attempt


@dataclass(frozen=True, kw_only=True)
class Action(ABC):
    """Base.

    Attributes:
        step: Its name in the ledger and in JSON.
        lines: What changes in a launch template.
    """

    step: ClassVar[str]
    lines: tuple[str, ...] = ()

    @property
    @abstractmethod
    def title(self) -> str:
        """One line for a person."""

    @abstractmethod
    def do(self, means: Means, run: PlaceRun) -> None:
        """Do it, and keep in `run` what was made.

        Raises:
            AmigenError: It is not done.
        """


@dataclass(kw_only=True)
class PlaceRun:
    """One target in one region, from the look at it to the end of its plan: what is known by now, and what came of it.

    Attributes:
        actions: All that is to be done, in order; none where the place could not be looked at.
        notes: What a person should know and nobody will change.
        image, template, version: What there is already of the plan's; None where it has yet to be made.
        default: The default version that was set.
        applied: Whether the plan was begun.
        done: Titles of the actions that were done.
        warning: What EC2 could not validate of the version that was made.
        error: Why it could not be planned, or why it stopped; None where it got to its end.
    """

    place: Place
    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
    built: str = ""
    image: str | None = None
    template: str | None = None
    version: int | None = None
    default: int | None = None
    applied: bool = False
    done: list[str] = field(default_factory=list)
    warning: str = ""
    error: AmigenError | None = None

    @property
    def ami(self) -> str:
        """The image that the plan has by now."""
        assert self.image is not None, "the image comes before what is made of it"
        return self.image

    @property
    def known(self) -> dict[str, object]:
        """What the ledger keeps of it."""
        known = {"image": self.image, "template": self.template, "version": self.version, "default": self.default}
        return {key: value for key, value in known.items() if value}


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the steps of a plan need of the world.

    Attributes:
        canary: Proves one version of a template, by `amigen.publish.canary.Canary`.
    """

    aws: Aws
    ledger: Ledger
    waiter: Waiter
    canary: Callable[..., None] | None = None


def plan_all(plan: Callable[[Place], PlaceRun], places: Sequence[Place], waiter: Waiter) -> list[PlaceRun]:
    """The plans of places, side by side; one that cannot be planned has its error, and does not hide the others."""
    found = attempt(plan, places, waiter)
    pairs = zip(places, found, strict=True)
    return [PlaceRun(place=at, error=each) if isinstance(each, AmigenError) else each for at, each in pairs]


def apply(means: Means, runs: Sequence[PlaceRun]) -> None:
    """Apply the plans of all places that have one: side by side, the steps of each in order.

    Each step is written to the ledger when it is done, and each place gets to its own end or error.

    Raises:
        KeyboardInterrupt: After the threads have ended; what is begun goes on in AWS.
    """
    attempt(lambda run: _apply(means, run), [run for run in runs if not run.error], means.waiter)


def _apply(means: Means, run: PlaceRun) -> None:
    key = run.place.key
    run.applied = True
    means.ledger.restart(key, digest=run.digest, built=run.built)
    found = [step for step, there in (("built", True), ("copied", run.image), ("template", run.version)) if there]
    means.ledger.note(key, *found, **run.known)
    try:
        for action in run.actions:
            means.waiter.say(f"{key}: {action.title}")
            action.do(means, run)
            run.done.append(action.title)
            means.ledger.note(key, action.step, **run.known)
    except AmigenError as error:
        run.error = error
        means.waiter.say(f"{key}: failed: {error.message}")
