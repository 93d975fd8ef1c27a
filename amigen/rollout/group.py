"""Replace running nodes by those of a new template version: what a rollout is about, and its way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, AwsError, InputError
from amigen.publish import observe
from amigen.publish.apply import Applier
from amigen.publish.names import Place, read_history, read_rollback
from amigen.publish.place_run import Ledger, NullLedger, PlaceRun
from amigen.publish.promote import agreed
from amigen.publish.state import Template
from amigen.publish.wait import Waiter
from amigen.rollout.rollback import plan_rollback

_ASG = re.compile(r"asg:(?P<name>[^@]+)(?:@(?P<region>[a-z0-9-]+))?")
_NODEGROUP = re.compile(r"nodegroup:(?P<cluster>[^/@]+)/(?P<name>[^@]+)(?:@(?P<region>[a-z0-9-]+))?")


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
        """For a person."""
        if self.cluster:
            return f"node group {self.cluster}/{self.name} in {self.region}"
        return f"Auto Scaling group {self.name} in {self.region}"


@dataclass(frozen=True, kw_only=True)
class TargetVersion:
    """What the default of a template is when a plan is done.

    Attributes:
        version: None for the version that the plan makes.
        default: What it is now; a refresh that goes there is the way back of an earlier run.
        data: What that version says.
    """

    template: str
    version: int | None
    default: int | None
    data: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a group is to run.

    Attributes:
        old: The version that was the default before; None where nobody knows.
        resolving: The versions whose image is what a parameter says.
    """

    place: Place
    template: str
    version: int
    old: int | None
    resolving: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class RolloutPreview:
    """What a rollout to one group would do.

    Attributes:
        old: The version that the group names now.
        new: The version that it gets; None for the one that the plan makes.
        error: Why it would not go; empty also where the group could not be looked at, for its places could not.
    """

    group: Group
    old: str = ""
    new: int | None = None
    error: AmigenError | None = None


class RolloutError(AwsError):
    """A rollout that ended badly, with what was done about it."""


class TakenBackError(RolloutError):
    """A rollout that ended badly; default and parameter of these releases are back."""

    def __init__(self, message: str, hint: str, releases: Sequence[Release]) -> None:
        super().__init__(message, hint)
        self.releases = tuple(releases)


class Roller(Protocol):
    """Brings one group to a version, and back."""

    @property
    def template(self) -> str:
        """Id of the group's launch template, after `to` has looked."""
        ...

    @property
    def begun(self) -> bool:
        """Whether nodes are being replaced, or may be: AWS has not refused to begin."""
        ...

    def look(self, targets: Sequence[TargetVersion]) -> tuple[str, int | None]:
        """Which version the group names, and which it would get. Changes nothing.

        Raises:
            InputError: There is no such group, or it uses none of the templates.
            RefusedError: It runs `$Latest`, or could not launch this version.
            ConflictError: Somebody else replaces its nodes now.
            AwsError: A call failed.
        """
        ...

    def to(self, releases: Sequence[Release]) -> str:
        """Bring it to the version of its own template; where that fails, bring group, default and parameter back.

        Raises:
            RolloutError: The rollout failed; the message says what it is now.
            AmigenError: As `look`.
        """
        ...

    def back(self, releases: Sequence[Release]) -> str:
        """Bring a group that got to its version back to the one before, when the default is back already.

        Raises:
            AmigenError: It is not back.
        """
        ...


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


def releases_of(aws: Aws, region: str, runs: Sequence[PlaceRun], waiter: Waiter) -> tuple[Release, ...]:
    """The default versions that stand in a region now, with those before them.

    Raises:
        ConflictError: Somebody else has moved the default since a run moved it.
    """
    out = []
    for run in runs:
        if run.plan.place.region != region:
            continue
        template = _as_left(aws, run, waiter)
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
                resolving=frozenset(
                    v.number for v in template.versions if str(v.data.get("ImageId", "")).startswith("resolve:")
                ),
            )
        )
    return tuple(out)


def _as_left(aws: Aws, run: PlaceRun, waiter: Waiter) -> Template | None:
    """The template of a run; a look that is behind, and sees the default before the run, would roll out that one."""
    place = run.plan.place

    def look() -> tuple[int, Template | None]:
        found = observe.find_template(aws, place.region, place.target.template)
        return (found.default if found else 0), found

    if run.default is None:
        return look()[1]
    what = f"launch template {place.target.template} in {place.region}"
    return agreed(what, look, (run.default, 0), "nothing was rolled out; look at the plan again", waiter)[1]


def default_back(aws: Aws, release: Release, waiter: Waiter, ledger: Ledger) -> str:
    """Move default and parameter back after a failed rollout; says what was done.

    Raises:
        RolloutError: They are not back.
    """
    if release.old is None:
        raise RolloutError("the previous default is unknown; leaving it unchanged", "name it: --to of rollback")
    try:
        plan = plan_rollback(aws, release.place, release.old)
        error = Applier(aws=aws, ledger=NullLedger(), waiter=waiter).apply([plan])[0].error
    except AmigenError as found:
        error = found
    if error:
        raise RolloutError(
            f"default or parameter are still those of version {release.version}: {error.message}", error.hint
        )
    ledger.went_back(release.place.key, default=release.old)
    return f"the default is version {release.old} again"


def go_back(
    failed: str,
    hint: str,
    releases: Sequence[Release],
    default: Callable[[Release], str],
    group: Callable[[], str] | None,
    *,
    ordered: bool = False,
) -> RolloutError:
    """Take a failed rollout back.

    Args:
        failed: What failed, in words.
        hint: The way out where all of this goes well.
        releases: Whose default goes back.
        default: Brings the default of a release back; says what it did.
        group: Brings the nodes back; None where AWS has done so.
        ordered: The nodes would only be made anew of the bad version where the default is not back; else each is
            tried, whatever came of the others.

    Returns:
        The error that says all of it, with the ways out of what failed.
    """
    said, hints = [failed], []
    returned: list[Release] = []
    for release in releases:
        try:
            said.append(default(release))
            returned.append(release)
        except AmigenError as error:
            said.append(error.message)
            hints.append(error.hint or "")
    if group and (not ordered or len(returned) == len(releases)):
        try:
            said.append(group())
        except AmigenError as error:
            said.append(error.message)
            hints.append(error.hint or "")
    message, way_out = "; ".join(dict.fromkeys(said)), "; ".join(dict.fromkeys(filter(None, hints))) or hint
    return TakenBackError(message, way_out, returned) if returned else RolloutError(message, way_out)


class _OfTemplate(Protocol):
    @property
    def template(self) -> str: ...


_T = TypeVar("_T", bound=_OfTemplate)


def of_template(group: Group, template: str, known: Sequence[_T]) -> _T:
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
