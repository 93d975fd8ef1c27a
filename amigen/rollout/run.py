"""Rollouts of a publish: look at all groups before anything is done, then one after the other, all or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from amigen.aws.errors import CallError
from amigen.base.errors import AmigenError
from amigen.publish.steps import Means, PlaceRun
from amigen.publish.wait import StoppedError, TooLongError
from amigen.rollout.group import FailedRolloutError, Group, GroupRun, Release
from amigen.rollout.nodegroup import ManagedNodegroup
from amigen.rollout.refresh import InstanceRefresh
from amigen.rollout.rollback import default_back, releases_of
from amigen.rollout.roller import Roller


def roller(means: Means, group: Group) -> Roller:
    """What rolls a group of this kind."""
    return ManagedNodegroup(means, group) if group.cluster else InstanceRefresh(means, group)


def look_at(means: Means, groups: Sequence[Group], runs: Sequence[PlaceRun]) -> list[GroupRun]:
    """What the rollouts of a plan would do; each group keeps its own error. Changes nothing."""
    out = []
    known: dict[str, tuple[Release, ...]] = {}
    for group in groups:
        preview = GroupRun(group=group)
        out.append(preview)
        if any(run.error for run in runs if run.place.region == group.region):
            continue  # it is said already, and nothing is rolled out
        try:
            if group.region not in known:
                known[group.region] = _coming(group.region, runs)
            preview.old, preview.new = roller(means, group).look(known[group.region])
        except AmigenError as error:
            preview.error = error
    return out


def _coming(region: str, runs: Sequence[PlaceRun]) -> tuple[Release, ...]:
    """The defaults of a region as its plans leave them; a template that a plan makes has no groups yet."""
    return tuple(
        Release(place=run.place, template=run.found.id, version=run.version or 0, old=run.found.default, data=run.data)
        for run in runs
        if run.place.region == region and run.found
    )


def roll_out(means: Means, groups: Sequence[GroupRun], runs: Sequence[PlaceRun]) -> None:
    """One group after the other: what goes wrong with the first must not happen to the second, too.

    Where AWS refuses one before its nodes are replaced, default and parameter of its region go back; where one fails,
    its nodes, too. The groups before it that got the same release are brought back, too: they would
    run a version that is the default of nothing, and `$Default` groups a mix. Where the next run can go on (no answer,
    limited rate, expired credentials), nothing is taken back. Each error says what stays.
    """
    before: list[tuple[GroupRun, Roller]] = []
    for rolled in groups:
        mine = roller(means, rolled.group)
        try:
            rolled.done = mine.to(releases_of(means, rolled.group.region, runs))
        except AmigenError as error:
            rolled.error = _ended(means, error, rolled.group, mine, runs, before)
            break
        before.append((rolled, mine))


def _ended(
    means: Means,
    error: AmigenError,
    group: Group,
    mine: Roller,
    runs: Sequence[PlaceRun],
    before: Sequence[tuple[GroupRun, Roller]],
) -> AmigenError:
    """Take back what has to be; the failure of a group with what was taken back, what was not, and what stays."""
    said, hints = [error.message], list[str]()

    def is_done(step: Callable[[], str], then: str = "", otherwise: str = "") -> bool:
        try:
            said.append(f"{then}{step()}")
        except AmigenError as failed:
            said.append(f"{otherwise}{failed.message}")
            hints.append(failed.hint)
            return False
        return True

    moved = [run for run in runs if run.has("default") and run.default]
    releases: Sequence[Release] = ()
    if isinstance(error, FailedRolloutError):
        releases = error.releases
    elif not (mine.begun or _goes_on(error)):
        try:
            releases = releases_of(means, group.region, [run for run in moved if run.place.region == group.region])
        except AmigenError as failed:
            said.append(failed.message)
            hints.append(failed.hint)
    returned = [each for each in releases if is_done(partial(default_back, means, each))]
    all_back = len(returned) == len(releases)
    if isinstance(error, FailedRolloutError) and not error.by_aws and (all_back or not error.ordered):
        is_done(partial(mine.back, releases))
    hints = hints or [error.hint]
    for rolled, earlier in reversed(before):
        if earlier.template in {each.template for each in returned}:
            text = rolled.group.text
            means.waiter.say(f"{text}: rolling back, too")
            if is_done(partial(earlier.back, returned), f"{text}: ", f"{text} is left at the new version: "):
                rolled.returned = said[-1]
    back = {(each.place.region, each.template) for each in returned}
    said += [
        f"the default of {run.place.target.template} in {run.place.region} stays version {run.default}"
        for run in moved
        if (run.place.region, run.template) not in back
    ]
    return error.kind()("; ".join(dict.fromkeys(said)), "; ".join(dict.fromkeys(filter(None, hints))))


def _goes_on(error: AmigenError) -> bool:
    """The next run can go on where this one ended."""
    return isinstance(error, (TooLongError, StoppedError)) or (isinstance(error, CallError) and error.concerns_all)
