"""Replace running nodes by those of a new template version: Auto Scaling groups and EKS managed node groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amigen.aws.session import Aws
from amigen.errors import AmigenError, AwsError, InputError
from amigen.publish import observe
from amigen.publish.apply import Applier
from amigen.publish.names import Place, read_history, read_rollback
from amigen.publish.place_run import NoNotes, PlaceRun
from amigen.publish.rollback import plan_rollback
from amigen.publish.wait import Patience

_ASG = re.compile(r"asg:(?P<name>[^@]+)(?:@(?P<region>[a-z0-9-]+))?")
_NODEGROUP = re.compile(r"nodegroup:(?P<cluster>[^/@]+)/(?P<name>[^@]+)(?:@(?P<region>[a-z0-9-]+))?")


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group to roll out to; `cluster` is empty for an Auto Scaling group."""

    name: str
    region: str
    cluster: str = ""

    @property
    def text(self) -> str:
        """For a person."""
        if self.cluster:
            return f"node group {self.cluster}/{self.name} in {self.region}"
        return f"Auto Scaling group {self.name} in {self.region}"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a group is to run.

    Attributes:
        old: The version that was the default before; None where nobody knows.
    """

    place: Place
    template: str
    version: int
    old: int | None


class RolloutError(AwsError):
    """A rollout that ended badly, with what was done about it."""


def parse_group(text: str, regions: Sequence[str]) -> Group:
    """`asg:NAME` or `nodegroup:CLUSTER/NAME`, with `@REGION` unless there is only one.

    Raises:
        InputError: It is neither.
    """
    match = _ASG.fullmatch(text) or _NODEGROUP.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a group", "asg:NAME or nodegroup:CLUSTER/NAME, with @REGION")
    found = match.groupdict()
    region = found["region"] or (regions[0] if len(regions) == 1 else "")
    if region not in regions:
        known = ", ".join(regions)
        what = f"{region} is not a region of this publish" if region else f"{text!r} needs a region"
        raise InputError(what, f"{text.split('@')[0]}@REGION, one of: {known}")
    return Group(name=found["name"], region=region, cluster=found.get("cluster") or "")


def roll_out(aws: Aws, group: Group, releases: Sequence[Release], patience: Patience) -> str:
    """Bring a group to the version of its own template; where that fails, bring group, default and parameter back.

    Args:
        aws: Where to call.
        group: The group.
        releases: The default versions in its region, one per template.
        patience: How to wait.

    Returns:
        What was done, in words.

    Raises:
        InputError: The group uses none of the templates.
        RefusedError: The group runs `$Latest`.
        RolloutError: The rollout failed; the message says what it is now.
        AwsError: A call failed.
    """
    if group.cluster:
        from amigen.publish.nodegroup import ManagedNodegroup

        return ManagedNodegroup(aws, group, patience).to(releases)
    from amigen.publish.refresh import InstanceRefresh

    return InstanceRefresh(aws, group, patience).to(releases)


def releases_of(aws: Aws, region: str, runs: Sequence[PlaceRun]) -> tuple[Release, ...]:
    """The default versions that stand in a region now, with those before them."""
    out = []
    for run in runs:
        if run.plan.place.region != region:
            continue
        template = observe.find_template(aws, region, run.plan.place.target.template)
        if template is None:
            continue
        begun = read_rollback(template.tags)
        history = read_history(template.tags, template.default)
        if begun and begun[0] == template.default:
            # A going back that was cut off has taken the history back already, and says where it was going.
            history = (*history, begun[1])
        out.append(
            Release(
                place=run.plan.place,
                template=template.id,
                version=template.default,
                old=history[-1] if history else None,
            )
        )
    return tuple(out)


def default_back(aws: Aws, release: Release, patience: Patience) -> str:
    """Move default and parameter back after a failed rollout; says what was done.

    Raises:
        RolloutError: They are not back.
    """
    if release.old is None:
        raise RolloutError(
            "nobody knows which version was the default before, so it is left", "name it: --to of rollback"
        )
    try:
        plan = plan_rollback(aws, release.place, release.old)
        error = Applier(aws=aws, ledger=NoNotes(), patience=patience).apply([plan])[0].error
    except AmigenError as found:
        error = found
    if error:
        raise RolloutError(
            f"default or parameter are still those of version {release.version}: {error.message}", error.hint
        )
    return f"the default is version {release.old} again"


def go_back(failed: str, hint: str, *steps: Callable[[], str], ordered: bool = False) -> RolloutError:
    """Take a failed rollout back.

    Args:
        failed: What failed, in words.
        hint: The way out where all of this goes well.
        steps: Each says what it did.
        ordered: A step needs those before it; else each is tried, whatever came of the others.

    Returns:
        The error that says all of it, with the ways out of the steps that failed.
    """
    said, hints = [failed], []
    for step in steps:
        try:
            said.append(step())
        except AmigenError as error:
            said.append(error.message)
            hints.append(error.hint or "")
            if ordered:
                break
    return RolloutError("; ".join(said), "; ".join(dict.fromkeys(filter(None, hints))) or hint)


def release_for(group: Group, template: str, releases: Sequence[Release]) -> Release:
    """The release of the template that a group uses.

    Raises:
        InputError: It uses none of them.
    """
    release = next((r for r in releases if r.template == template), None)
    if release is None:
        known = ", ".join(r.template for r in releases) or "none"
        used = template or "no launch template"
        raise InputError(f"{group.text} uses {used}, not one of this spec ({known})", "give it that template first")
    return release
