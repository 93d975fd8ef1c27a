"""A publish with its rollouts, and a rollback: look, plan, show, ask, apply."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, InputError, RefusedError
from amigen.plan.make import plan_images
from amigen.publish import record
from amigen.publish.canary import Canary
from amigen.publish.ledger import Ledger, ledger_beside, ledger_if_there, open_ledger
from amigen.publish.names import Place, Target
from amigen.publish.plan import PublishRequest
from amigen.publish.run import look
from amigen.publish.steps import Means, PlaceRun, apply, plan_all
from amigen.publish.wait import Waiter
from amigen.rollout.group import Group, GroupRun, Preferences, parse_group
from amigen.rollout.rollback import plan_rollback
from amigen.rollout.run import look_at, roll_out
from amigen.spec.model import NodeImage


@dataclass(kw_only=True)
class PublishOrder(PublishRequest):
    """A request with the images and places that it is about, and how it goes on.

    Attributes:
        record: Build record; None for the one that `amigen build` writes.
        rollouts: `asg:NAME` or `nodegroup:CLUSTER/NAME`, with `@REGION`.
        subnets: `REGION=SUBNET` of canaries.
        dry_run: Stop when the plan is shown.
    """

    record: Path | None
    targets: tuple[Target, ...]
    regions: tuple[str, ...]
    keep_image: bool
    rollouts: tuple[str, ...]
    preferences: Preferences
    subnets: tuple[str, ...]
    dry_run: bool


@dataclass(kw_only=True)
class Released:
    """What a publish or a rollback would do, and did.

    Attributes:
        rolled_out: Whether the rollouts were begun.
        ledger: Its file, where a publish was applied.
    """

    runs: list[PlaceRun]
    groups: list[GroupRun] = field(default_factory=list)
    rolled_out: bool = False
    ledger: Path | None = None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.groups or any(run.actions for run in self.runs))

    @property
    def failures(self) -> list[tuple[str, AmigenError]]:
        """What could not be looked at or done, by place and group."""
        return [
            *((run.place.key, run.error) for run in self.runs if run.error),
            *((each.group.text, each.error) for each in self.groups if each.error),
        ]


def publish(
    aws: Aws, order: PublishOrder, waiter: Waiter, *, show: Callable[[Released], None], ask: Callable[[str], None]
) -> Released:
    """Publish proven images, and roll their default versions out.

    Args:
        show: Shows the plan.
        ask: Asks a question before anything is changed; raises where the answer is no.

    Raises:
        InputError, RefusedError: The order cannot be carried out; nothing was done.
    """
    spec = order.spec
    groups = _groups(order)
    subnets = _subnets(order)
    path = order.record or record.default_path(spec)
    proven = record.images_of(path, spec, order.targets, keep_image=order.keep_image)
    with nullcontext() if order.dry_run else open_ledger(ledger_beside(path), spec.name) as ledger:
        runs = look(aws, order, proven, order.regions, waiter)
        found = Released(runs=runs, groups=look_at(Means(aws=aws, ledger=Ledger(), waiter=waiter), groups, runs))
        show(found)
        # Nothing is done where a group could not follow: the default would have moved for nobody.
        if ledger is None or any(each.error for each in found.groups):
            return found
        if found.changes:
            ask("Apply this plan?")
        plans = {plan.platform: plan for plan in plan_images(spec)}

        def canary(means: Means, run: PlaceRun) -> None:
            plan, subnet = plans[run.place.target.platform], subnets.get(run.place.region)
            Canary(means=means, run=run, plan=plan, subnet=subnet).prove()

        found.ledger = ledger.path
        means = Means(aws=aws, ledger=ledger, waiter=waiter, canary=canary if order.canary else None)
        apply(means, runs)
        if not found.failures:
            roll_out(means, found.groups, runs)
            found.rolled_out = True
    return found


def roll_back(
    aws: Aws,
    spec: NodeImage,
    places: Sequence[Place],
    to: int | None,
    waiter: Waiter,
    *,
    path: Path | None,
    dry_run: bool,
    show: Callable[[Released], None],
    ask: Callable[[str], None],
) -> Released:
    """Move the default versions of places back, and the parameters with them.

    Args:
        to: Version to go back to; None for what each default was before.
        path: Build record, beside which the ledger is; None for the one that `amigen build` writes.
        dry_run: Stop when the plan is shown.
        show, ask: As for `publish`.

    Raises:
        RefusedError: `to`, and several places: each template counts its own versions, and the same number elsewhere may
            be quite another image.
    """
    if to is not None and len(places) > 1:
        raise RefusedError(
            f"--to is a version of one launch template, and this is about {len(places)}: "
            + ", ".join(place.key for place in places),
            "add --region, --platform, --architecture; without --to each goes back to what its own default was before",
        )
    found = Released(runs=plan_all(lambda place: plan_rollback(aws, place, to), places, waiter))
    show(found)
    if dry_run:
        return found
    if found.changes:
        ask("Roll back?")
    ledger_path = ledger_beside(path or record.default_path(spec))
    with ledger_if_there(ledger_path, spec.name, waiter.say) as ledger:
        # What is noted of a publish stays, but for the default.
        apply(Means(aws=aws, ledger=Ledger(), waiter=waiter), found.runs)
        for run in found.runs:
            default = run.version if run.error is None else run.default
            if run.applied and default is not None:
                ledger.went_back(run.place.key, default=default)
    return found


def _groups(order: PublishOrder) -> tuple[Group, ...]:
    """The groups of the rollouts, each once."""
    if not order.rollouts and order.preferences != Preferences():
        raise InputError("options of a rollout are given without --rollout", "add --rollout GROUP")
    groups = dict.fromkeys(parse_group(text, order.regions) for text in order.rollouts)
    if groups and not (order.set_default or order.canary):
        raise InputError("--rollout rolls out the default version", "add --set-default or --canary")
    return tuple(dataclasses.replace(group, preferences=order.preferences) for group in groups)


def _subnets(order: PublishOrder) -> dict[str, str]:
    """Region -> subnet of its canary."""
    pairs = {text: text.partition("=") for text in order.subnets}
    for text, (region, _, subnet) in pairs.items():
        if region not in order.regions or not subnet.startswith("subnet-"):
            known = ", ".join(order.regions)
            raise InputError(f"--canary-subnet {text!r} is not REGION=SUBNET", f"regions of this publish: {known}")
    return {region: subnet for region, _, subnet in pairs.values()}
