"""One idea: remove old images, and never one that somebody relies on."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, CouldNotCheckError
from amigen.base.moments import moment_of
from amigen.images.elsewhere import Elsewhere, Shared, look_elsewhere, request_report
from amigen.images.usage import Usage, find_usage
from amigen.publish import names, observe
from amigen.publish.ledger import ledger_beside, shared_images
from amigen.publish.record import default_path
from amigen.publish.state import Image
from amigen.publish.wait import attempt
from amigen.spec.model import NodeImage

_GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One image of the spec.

    Attributes:
        used: What refers to it.
        accounts: Other accounts that use it.
        keep: Why prune leaves it; empty where it would remove it.
    """

    region: str
    image: Image
    used: tuple[str, ...]
    accounts: tuple[str, ...] = ()
    keep: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What prune removes: neither among the newest `keep` of its kind, nor younger than `older_than`, nor in use."""

    keep: int
    older_than: timedelta
    now: datetime


@dataclass(kw_only=True)
class RegionPrune:
    """What prune would do, and did, in one region.

    Attributes:
        snapshots: Of images that are gone already: a run before this one was cut off in between.
        reports: Shared images whose usage by other accounts is not known; prune requests these reports, and removes
            nothing of the region before they are there.
        notes: What could not be looked at, and stops nothing.
        failed: What could not be removed, and why; the rest was.
        error: Why the region as a whole could not be looked at, or was left in the middle.
    """

    region: str
    images: tuple[Listed, ...] = ()
    snapshots: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    removed: list[str] = field(default_factory=list)
    failed: list[tuple[str, AmigenError]] = field(default_factory=list)
    error: AmigenError | None = None

    @property
    def failures(self) -> list[tuple[str, AmigenError]]:
        """What could not be removed, and why the region was left."""
        failed = [(f"{self.region}: {what}", error) for what, error in self.failed]
        return [*failed, *([(self.region, self.error)] if self.error else [])]

    @property
    def doomed(self) -> tuple[Listed, ...]:
        """What is to be removed."""
        return tuple(each for each in self.images if not each.keep)


def list_regions(aws: Aws, regions: Sequence[str], name: str) -> list[RegionPrune]:
    """Look at the images of a spec in regions; each keeps its own error."""
    return _by_region([RegionPrune(region=region) for region in regions], lambda plan: list_images(aws, plan, name))


def plan_regions(
    aws: Aws, regions: Sequence[str], spec: NodeImage, record: Path | None, rules: Rules
) -> tuple[list[RegionPrune], Callable[[Callable[[str], None]], None]]:
    """Look at the regions, and decide; each keeps its own error.

    Args:
        record: Build record, whose ledger knows which images were shared; None for that of `amigen build`.

    Returns:
        The plans, and what applies them; it takes a function that is told of each step.
    """
    share = spec.aws.share
    shared = Shared(
        images=shared_images(ledger_beside(record or default_path(spec))),
        by_spec=bool(share.accounts or share.organizations or share.organizational_units or share.public),
    )
    plans = [RegionPrune(region=region) for region in regions]
    _by_region(plans, lambda plan: plan_prune(aws, plan, spec.name, rules, shared))

    def apply(say: Callable[[str], None]) -> None:
        seen = [plan for plan in plans if not plan.error]
        _by_region(seen, lambda plan: apply_prune(aws, plan, shared, rules.now, say))

    return plans, apply


def _by_region(plans: list[RegionPrune], work: Callable[[RegionPrune], None]) -> list[RegionPrune]:
    """Side by side; a region that fails keeps its error and does not hide the others."""
    for plan, error in zip(plans, attempt(work, plans), strict=True):
        plan.error = error or plan.error
    return plans


def list_images(aws: Aws, plan: RegionPrune, name: str) -> None:
    """Look at the images of a spec in one region, newest first, with what refers to them; all of them stay."""
    filters = observe.tagged(**{names.TAG_NAME: name})
    images = observe.own_images(aws, plan.region, f"images with {names.TAG_NAME}={name}", Filters=filters)
    plan.usage = find_usage(aws, plan.region) if images else Usage()
    plan.images = tuple(Listed(region=plan.region, image=image, used=plan.usage.of(image.id)) for image in images)


def plan_prune(aws: Aws, plan: RegionPrune, name: str, rules: Rules, shared: Shared) -> None:
    """Look at one region, and decide.

    Raises:
        CouldNotCheckError: Nobody can tell which images of the region are in use.
    """
    list_images(aws, plan, name)
    plan.usage.require_complete(plan.region)
    judged = judge(plan.images, rules)
    # Until the end of all looks nothing of the region is to be removed, also where one of them fails.
    plan.images = ()
    candidates = [each.image for each in judged if not each.keep]
    elsewhere = look_elsewhere(aws, plan.region, candidates, shared, rules.now)
    plan.images = tuple(_judged_elsewhere(each, elsewhere) for each in judged)
    plan.reports, plan.notes = elsewhere.missing, elsewhere.notes
    if elsewhere.pending:
        plan.error = _waits_for(plan.region, elsewhere.pending)
    elif not plan.reports:
        plan.snapshots = _leftovers(aws, plan.region, name)


def _judged_elsewhere(each: Listed, elsewhere: Elsewhere) -> Listed:
    used = elsewhere.used.get(each.image.id, ())
    if each.keep:
        return each
    waits = (*elsewhere.missing, *elsewhere.pending)
    keep = f"used by {', '.join(used)}" if used else ""
    keep = keep or (f"waits for the usage report of {', '.join(waits)}" if waits else "")
    accounts = elsewhere.accounts.get(each.image.id, ())
    return replace(each, used=(*each.used, *used), accounts=accounts, keep=keep)


def _waits_for(region: str, images: Sequence[str]) -> CouldNotCheckError:
    return CouldNotCheckError(
        f"nothing is removed in {region} before EC2 has made the usage reports of shared images: {', '.join(images)}",
        "run the same command again later; a report takes minutes to hours",
    )


def judge(images: Sequence[Listed], rules: Rules) -> tuple[Listed, ...]:
    """Which stay, and why. Pure.

    Args:
        images: Newest first.
    """
    seen: dict[tuple[str, str], int] = defaultdict(int)
    out = []
    for each in images:
        image = each.image
        kind = (image.tags.get(names.TAG_PLATFORM, ""), image.tags.get(names.TAG_ARCHITECTURE, ""))
        rank = None
        if image.state == "available":
            seen[kind] += 1
            rank = seen[kind]
        out.append(replace(each, keep=_reason(each, rank, rules)))
    return tuple(out)


def _reason(each: Listed, rank: int | None, rules: Rules) -> str:
    """Why an image stays; empty where it goes."""
    image = each.image
    if each.used:
        return "used by " + ", ".join(each.used)
    if image.state == "pending":
        return "is being made"
    if image.state == "disabled":
        # Somebody chose to keep it so that nobody launches it; enabling brings it back, deregistering does not.
        return "is disabled, and so kept by somebody"
    if image.protected:
        return "is protected from deregistration"
    if rank is not None and rank <= rules.keep:
        return f"is among the newest {rules.keep}"
    limit = rules.now - rules.older_than
    if (image.created_at or rules.now) > limit:
        return f"is younger than {rules.older_than.days} days"
    launched = moment_of(image.launched)
    if launched is not None and launched > limit:
        # Also launches by accounts that it is shared with, whose instances cannot be seen from here.
        return f"was launched on {image.launched[:10]}"
    return ""


def _leftovers(aws: Aws, region: str, name: str) -> tuple[str, ...]:
    """Snapshots that were marked for removal, whose image is gone, and which no other image uses."""
    filters = [*observe.tagged(**{names.TAG_NAME: name}), {"Name": "tag-key", "Values": [names.TAG_PRUNED]}]
    found = list(
        aws.pages(calls.DESCRIBE_SNAPSHOTS, region, "snapshots of pruned images", OwnerIds=["self"], Filters=filters)
    )
    marks = {
        item["SnapshotId"]: tag["Value"] for item in found for tag in item["Tags"] if tag["Key"] == names.TAG_PRUNED
    }
    if not marks:
        return ()
    own = observe.own_images(aws, region, "own images of the region")
    there = {image.id for image in own} | {s.id for image in own for s in image.snapshots}
    return tuple(sorted(snapshot for snapshot, image in marks.items() if not {snapshot, image} & there))


def apply_prune(aws: Aws, plan: RegionPrune, shared: Shared, now: datetime, say: Callable[[str], None]) -> None:
    """Remove what was shown. Looked at once more right before: what has come into use since stays.

    The order makes a cut harmless: snapshots are marked with the image's id, the image goes, the snapshots go. Marked
    snapshots without their image are what the next run finds.

    Raises:
        CouldNotCheckError: Usage reports had to be requested; nothing was removed.
    """
    region = plan.region
    for image in plan.reports:
        request_report(aws, region, image, now)
        say(f"{region}: requested the usage report of {image}")
    if plan.reports:
        raise _waits_for(region, plan.reports)
    for snapshot in plan.snapshots:
        with _kept_going(plan, snapshot, say):
            if _delete_snapshot(aws, region, snapshot, plan.removed):
                say(f"{region}: removed {snapshot}, left by an earlier run")
            else:
                say(f"{region}: {snapshot} is kept: another image uses it")
    if not plan.doomed:
        return
    usage = find_usage(aws, region)
    usage.require_complete(region)
    elsewhere = look_elsewhere(aws, region, [each.image for each in plan.doomed], shared, now)
    if waits := (*elsewhere.missing, *elsewhere.pending):
        raise _waits_for(region, waits)
    for each in plan.doomed:
        used = (*usage.of(each.image.id), *elsewhere.used.get(each.image.id, ()))
        if used:
            say(f"{region}: {each.image.id} is kept: it is now used by {', '.join(used)}")
            continue
        with _kept_going(plan, each.image.id, say):
            stay = _remove(aws, region, each.image, plan.removed)
            but = f"; {', '.join(stay)} are kept: another image uses them" if stay else ""
            say(f"{region}: removed {each.image.id} and its snapshots{but}")


@contextlib.contextmanager
def _kept_going(plan: RegionPrune, what: str, say: Callable[[str], None]) -> Iterator[None]:
    """One that cannot be removed (protected, forbidden) does not keep the others; what concerns all of them does."""
    try:
        yield
    except CallError as error:
        if error.concerns_all:
            raise
        plan.failed.append((what, error))
        say(f"{plan.region}: {what} is not removed: {error.message}")


def _remove(aws: Aws, region: str, image: Image, removed: list[str]) -> list[str]:
    """Remove an image with its snapshots; returns the ones kept because another image uses them."""
    snapshots = [s.id for s in image.snapshots]
    if snapshots:
        tags = [{"Key": names.TAG_PRUNED, "Value": image.id}]
        aws.call(calls.MARK_SNAPSHOT, region, f"snapshots of {image.id}", Resources=snapshots, Tags=tags)
    try:
        aws.call(calls.DEREGISTER_IMAGE, region, f"image {image.id}", ImageId=image.id)
    except CallError as error:
        if error.code not in _GONE:
            raise
    removed.append(image.id)
    return [snapshot for snapshot in snapshots if not _delete_snapshot(aws, region, snapshot, removed)]


def _delete_snapshot(aws: Aws, region: str, snapshot: str, removed: list[str]) -> bool:
    """False if another image uses it."""
    try:
        aws.call(calls.DELETE_SNAPSHOT, region, f"snapshot {snapshot}", SnapshotId=snapshot)
    except CallError as error:
        if error.code == "InvalidSnapshot.InUse":
            return False
        if error.code != "InvalidSnapshot.NotFound":
            raise
    removed.append(snapshot)
    return True
