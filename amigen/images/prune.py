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
    """One region: what prune would do there, and did.

    Attributes:
        name: Of the spec.
        images: Newest first.
        snapshots: Of images that are gone already: a run before this one was cut off in between.
        reports: Shared images whose usage by other accounts is not known; prune requests these reports, and removes
            nothing of the region before they are there.
        notes: What could not be looked at, and stops nothing.
        failed: What could not be removed, and why; the rest was.
        error: Why the region as a whole could not be looked at, or was left in the middle.
    """

    aws: Aws
    region: str
    name: str
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

    def look(self) -> None:
        """Look at the images of the spec, with what refers to them; all of them stay."""
        what, filters = f"images with {names.TAG_NAME}={self.name}", observe.tagged(**{names.TAG_NAME: self.name})
        images = observe.own_images(self.aws, self.region, what, Filters=filters)
        self.usage = find_usage(self.aws, self.region) if images else Usage()
        self.images = tuple(Listed(image=image, used=self.usage.of(image.id)) for image in images)

    def plan(self, rules: Rules, shared: Shared) -> None:
        """Look, and decide.

        Raises:
            CouldNotCheckError: Nobody can tell which images of the region are in use.
        """
        self.look()
        self.usage.require_complete(self.region)
        judged = judge(self.images, rules)
        # Until the end of all looks nothing of the region is to be removed, also where one of them fails.
        self.images = ()
        candidates = [each.image for each in judged if not each.keep]
        elsewhere = look_elsewhere(self.aws, self.region, candidates, shared, rules.now)
        self.images = tuple(each if each.keep else _judged_elsewhere(each, elsewhere) for each in judged)
        self.reports, self.notes = elsewhere.missing, elsewhere.notes
        if elsewhere.pending:
            self.error = self._waits_for(elsewhere.pending)
        elif not self.reports:
            self.snapshots = self._leftovers()

    def apply(self, shared: Shared, now: datetime, say: Callable[[str], None]) -> None:
        """Remove what was shown. Looked at once more right before: what has come into use since stays.

        The order makes a cut harmless: snapshots are marked with the image's id, the image goes, the snapshots go.
        Marked snapshots without their image are what the next run finds.

        Args:
            say: Told of each step.

        Raises:
            CouldNotCheckError: Usage reports had to be requested; nothing was removed.
        """
        aws, region = self.aws, self.region
        for shared_image in self.reports:
            request_report(aws, region, shared_image, now)
            say(f"{region}: requested the usage report of {shared_image}")
        if self.reports:
            raise self._waits_for(self.reports)
        for snapshot in self.snapshots:
            with self._going_on(snapshot, say):
                is_gone = self._delete_snapshot(snapshot)
                end = f"removed {snapshot}, left by an earlier run"
                say(f"{region}: {end if is_gone else f'{snapshot} is kept: another image uses it'}")
        if not self.doomed:
            return
        usage = find_usage(aws, region)
        usage.require_complete(region)
        elsewhere = look_elsewhere(aws, region, [each.image for each in self.doomed], shared, now)
        if waits := (*elsewhere.missing, *elsewhere.pending):
            raise self._waits_for(waits)
        for image in (each.image for each in self.doomed):
            if used := (*usage.of(image.id), *elsewhere.used.get(image.id, ())):
                say(f"{region}: {image.id} is kept: it is now used by {', '.join(used)}")
                continue
            with self._going_on(image.id, say):
                stay = self._remove(image)
                but = f"; {', '.join(stay)} are kept: another image uses them" if stay else ""
                say(f"{region}: removed {image.id} and its snapshots{but}")

    def _waits_for(self, images: Sequence[str]) -> CouldNotCheckError:
        before = f"before EC2 has made the usage reports of shared images: {', '.join(images)}"
        return CouldNotCheckError(
            f"nothing is removed in {self.region} {before}",
            "run the same command again later; a report takes minutes to hours",
        )

    def _leftovers(self) -> tuple[str, ...]:
        """Snapshots that were marked for removal, whose image is gone, and which no other image uses."""
        what = "snapshots of pruned images"
        filters = [*observe.tagged(**{names.TAG_NAME: self.name}), {"Name": "tag-key", "Values": [names.TAG_PRUNED]}]
        found = self.aws.pages(calls.DESCRIBE_SNAPSHOTS, self.region, what, OwnerIds=["self"], Filters=filters)
        marks = {
            item["SnapshotId"]: tag["Value"] for item in found for tag in item["Tags"] if tag["Key"] == names.TAG_PRUNED
        }
        if not marks:
            return ()
        own = observe.own_images(self.aws, self.region, "own images of the region")
        there = {image.id for image in own} | {s.id for image in own for s in image.snapshots}
        return tuple(sorted(snapshot for snapshot, image in marks.items() if not {snapshot, image} & there))

    @contextlib.contextmanager
    def _going_on(self, what: str, say: Callable[[str], None]) -> Iterator[None]:
        """What cannot be removed (protected, forbidden) does not keep the others; what concerns all of them does."""
        try:
            yield
        except CallError as error:
            if error.concerns_all:
                raise
            self.failed.append((what, error))
            say(f"{self.region}: {what} is not removed: {error.message}")

    def _remove(self, image: Image) -> list[str]:
        """Remove an image with its snapshots; returns the ones kept because another image uses them."""
        snapshots = [s.id for s in image.snapshots]
        if snapshots:
            what, tags = f"snapshots of {image.id}", [{"Key": names.TAG_PRUNED, "Value": image.id}]
            self.aws.call(calls.MARK_SNAPSHOT, self.region, what, Resources=snapshots, Tags=tags)
        try:
            self.aws.call(calls.DEREGISTER_IMAGE, self.region, f"image {image.id}", ImageId=image.id)
        except CallError as error:
            if error.code not in _GONE:
                raise
        self.removed.append(image.id)
        return [snapshot for snapshot in snapshots if not self._delete_snapshot(snapshot)]

    def _delete_snapshot(self, snapshot: str) -> bool:
        """False if another image uses it."""
        try:
            self.aws.call(calls.DELETE_SNAPSHOT, self.region, f"snapshot {snapshot}", SnapshotId=snapshot)
        except CallError as error:
            if error.code == "InvalidSnapshot.InUse":
                return False
            if error.code != "InvalidSnapshot.NotFound":
                raise
        self.removed.append(snapshot)
        return True


def list_regions(aws: Aws, regions: Sequence[str], name: str) -> list[RegionPrune]:
    """Look at the images of a spec in regions; each keeps its own error."""
    return _by_region([RegionPrune(aws=aws, region=region, name=name) for region in regions], RegionPrune.look)


def prune(
    aws: Aws,
    regions: Sequence[str],
    spec: NodeImage,
    record: Path | None,
    rules: Rules,
    *,
    show: Callable[[RegionPrune], None],
    ask: Callable[[str], None] | None,
    say: Callable[[str], None],
) -> list[RegionPrune]:
    """Look at the regions, decide, and remove what was shown; each region keeps its own error.

    Args:
        record: Build record, whose ledger knows which images were shared; None for that of `amigen build`.
        show: Shows the plan of a region.
        ask: Asks a question before anything is changed; raises where the answer is no. None: nothing is changed.
        say: Told of each step.
    """
    images = shared_images(ledger_beside(record or default_path(spec)))
    shared = Shared(images=images, by_spec=bool(spec.aws.share.named or spec.aws.share.public))
    plans = [RegionPrune(aws=aws, region=region, name=spec.name) for region in regions]
    for plan in _by_region(plans, lambda plan: plan.plan(rules, shared)):
        show(plan)
    if ask is None:
        return plans
    if any(plan.doomed or plan.snapshots for plan in plans):
        ask("Remove these for good?")
    elif any(plan.reports for plan in plans):
        ask("Request these usage reports?")
    _by_region([plan for plan in plans if not plan.error], lambda plan: plan.apply(shared, rules.now, say))
    return plans


def _by_region(plans: list[RegionPrune], work: Callable[[RegionPrune], None]) -> list[RegionPrune]:
    """Side by side; a region that fails keeps its error and does not hide the others."""
    for plan, error in zip(plans, attempt(work, plans), strict=True):
        plan.error = error or plan.error
    return plans


def _judged_elsewhere(each: Listed, elsewhere: Elsewhere) -> Listed:
    used, accounts = elsewhere.used.get(each.image.id, ()), elsewhere.accounts.get(each.image.id, ())
    waits = (*elsewhere.missing, *elsewhere.pending)
    keep = f"waits for the usage report of {', '.join(waits)}" if waits else ""
    keep = f"used by {', '.join(used)}" if used else keep
    return replace(each, used=(*each.used, *used), accounts=accounts, keep=keep)


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
