"""The steps of a publish: what one is called and does, the plan of a place, and its way to the end of its plan.

A plan is a list of steps, each made by a function of `image_steps`, `template_steps` or `promote`; applying it does
them and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.publish.ledger import Ledger
from amigen.publish.names import Place
from amigen.publish.state import Template
from amigen.publish.wait import Waiter, attempt


@dataclass(kw_only=True)
class PlaceRun:
    """One target in one region, from the look at it to the end of its plan: what is known by now, and what came of it.

    Attributes:
        actions: All that is to be done, in order; none where the place could not be looked at.
        notes: What a person should know and nobody will change.
        found: The launch template when the plan was made; None where there was none.
        data: What the version says that is there or is made.
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
    found: Template | None = None
    data: dict[str, Any] = field(default_factory=dict, repr=False)
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

    def has(self, step: str) -> bool:
        """Whether such a step is in the plan."""
        return any(each.step == step for each in self.actions)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the steps of a plan need of the world.

    Attributes:
        canary: Proves the version of a run on an instance, by `amigen.publish.canary.Canary`.
    """

    aws: Aws
    ledger: Ledger
    waiter: Waiter
    canary: Do | None = None


# Does a step, and keeps in the run what was made; raises AmigenError where it is not done.
Do: TypeAlias = Callable[[Means, PlaceRun], None]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One step of a plan.

    Attributes:
        step: Its name in the ledger and in JSON.
        title: One line for a person.
        lines: What changes in a launch template.
    """

    step: str
    title: str
    do: Do
    lines: tuple[str, ...] = ()


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
