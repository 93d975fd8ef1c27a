"""What a rollout is about: groups, the versions they get, and what can bring them there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from amigen.base.errors import AmigenError, AwsError, InputError
from amigen.publish.names import Place

_GROUP = re.compile(r"(?:asg:|nodegroup:(?P<cluster>[^/@]+)/)(?P<name>[^@]+)(?:@(?P<region>[a-z0-9-]+))?")


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """How nodes are replaced; None leaves it to AWS.

    Attributes:
        min_healthy: Percentage of the group that stays in service.
        warm_up: Seconds until a new instance counts as in service.
        checkpoints: Percentages at which a refresh pauses; the last is 100.
        checkpoint_delay: Seconds of each pause.
        standby: What happens to instances in standby: Terminate, Ignore or Wait.
        protected: What happens to instances protected from scale in: Refresh, Ignore or Wait.
        force: Replace the nodes of a node group although a disruption budget keeps pods from being evicted.

    Sources: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html,
    https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupVersion.html (force)
    """

    min_healthy: int | None = None
    warm_up: int | None = None
    checkpoints: tuple[int, ...] = ()
    checkpoint_delay: int | None = None
    standby: str | None = None
    protected: str | None = None
    force: bool = False

    def of_refresh(self) -> dict[str, Any]:
        """As StartInstanceRefresh takes them."""
        found = {
            "MinHealthyPercentage": self.min_healthy,
            "InstanceWarmup": self.warm_up,
            "CheckpointPercentages": list(self.checkpoints) or None,
            "CheckpointDelay": self.checkpoint_delay,
            "StandbyInstances": self.standby,
            "ScaleInProtectedInstances": self.protected,
        }
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group to roll out to; `cluster` is empty for an Auto Scaling group."""

    name: str
    region: str
    cluster: str = ""
    preferences: Preferences = field(default_factory=Preferences)

    @property
    def text(self) -> str:
        """Text for messages."""
        if self.cluster:
            return f"node group {self.cluster}/{self.name} in {self.region}"
        return f"Auto Scaling group {self.name} in {self.region}"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a group is to run.

    Attributes:
        version: 0 for the version that the plan makes.
        old: The version that is the default before; None if it is unknown. A refresh that goes there is the way back of
            an earlier run.
        data: What the version says, where that is looked at.
        resolving: The versions whose image is what a parameter says.
    """

    place: Place
    template: str
    version: int
    old: int | None
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    resolving: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class GroupRun:
    """A rollout to one group: what it would do, and what came of it.

    Attributes:
        old: The version that the group names now.
        new: The version that it gets; None for the one that the plan makes.
        done: What was done, in words; empty for one that failed or whose turn has not come.
        returned: How it was brought back, in words, after a later group has failed.
        error: Why it would not go, or why it failed; empty also where the group could not be looked at, for its places
            could not.
    """

    group: Group
    old: str = ""
    new: int | None = None
    done: str = ""
    returned: str = ""
    error: AmigenError | None = None


class RolloutError(AwsError):
    """A rollout, or the way back of one, that ended badly."""


class FailedRolloutError(RolloutError):
    """A rollout that has failed while nodes were being replaced.

    Attributes:
        releases: Whose default and parameter go back.
        by_aws: AWS itself has brought the nodes back.
        ordered: Nodes would only be made anew of the bad version where the default is not back; else each is tried,
            whatever came of the others.
    """

    def __init__(
        self, message: str, hint: str, releases: Sequence[Release], *, by_aws: bool = False, ordered: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.releases, self.by_aws, self.ordered = releases, by_aws, ordered


def parse_group(text: str, regions: Sequence[str]) -> Group:
    """`asg:NAME` or `nodegroup:CLUSTER/NAME`, with `@REGION` unless there is only one.

    Raises:
        InputError: It is neither.
    """
    match = _GROUP.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a group", "asg:NAME or nodegroup:CLUSTER/NAME, with @REGION")
    region = match["region"] or (regions[0] if len(regions) == 1 else "")
    if region not in regions:
        known = ", ".join(regions)
        what = f"{region} is not a region of this publish" if region else f"{text!r} needs a region"
        raise InputError(what, f"{text.split('@')[0]}@REGION, one of: {known}")
    return Group(name=match["name"], region=region, cluster=match["cluster"] or "")


def of_template(group: Group, template: str, known: Sequence[Release]) -> Release:
    """The one of the template that a group uses.

    Raises:
        InputError: It uses none of them.
    """
    found = next((each for each in known if each.template == template), None)
    if found is None:
        ours = ", ".join(each.template for each in known) or "none"
        used = template or "no launch template"
        raise InputError(f"{group.text} uses {used}, not one of this spec ({ours})", "give it that template first")
    return found
