"""The steps that are about the image: copy, tag, share, deprecate."""

from __future__ import annotations

import time
from dataclasses import dataclass

from amigen.aws import calls
from amigen.base.errors import AwsError, ConflictError
from amigen.publish import names, observe
from amigen.publish.state import Image
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags

VISIBLE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class TagImage(Action):
    """Put the tags of success on the image of the build, and on its snapshots."""

    step = "verified"
    image: str
    snapshots: tuple[str, ...]
    tags: dict[str, str]

    @property
    def title(self) -> str:
        return f"tag {self.image} and its snapshots: " + ", ".join(f"{k}={_short(v)}" for k, v in self.tags.items())

    def do(self, means: Means, run: PlaceRun) -> None:
        # An image that was pending has got its snapshots since it was looked at.
        snapshots = self.snapshots or [each.id for each in _visible(means, run, self.image).snapshots]
        resources, tags = [self.image, *snapshots], as_tags(self.tags)
        means.aws.call(calls.TAG_IMAGE, run.place.region, f"image {self.image}", Resources=resources, Tags=tags)
        run.image = self.image


@dataclass(frozen=True, kw_only=True)
class RemoveFailedCopy(Action):
    """Remove a copy that EC2 gave up, after a last look; its name stands in the way of the next one."""

    step = "removed-failed-copy"
    image: str
    reason: str

    @property
    def title(self) -> str:
        return f"remove the failed copy {self.image}" + (f" ({self.reason})" if self.reason else "")

    def do(self, means: Means, run: PlaceRun) -> None:
        region = run.place.region
        image = observe.find_image(means.aws, region, self.image)
        if image is None:
            return
        if image.state not in names.BROKEN_IMAGE:
            raise ConflictError(f"{self.image} in {region} is {image.state} by now, not failed", "run again")
        # Noted first: what is noted and not there has used up its token, see `CopyImage`.
        means.ledger.note(run.place.key, image=self.image)
        means.aws.call(calls.REMOVE_FAILED_COPY, region, f"image {self.image}", ImageId=self.image)


@dataclass(frozen=True, kw_only=True)
class CopyImage(Action):
    """Copy the image of the build into this region, and wait for it.

    It has its tags from the start, so that a cut leaves nothing that the next run could not find. The token names the
    copy that was made here last, which is no more: with the token of that one, EC2 would answer with its id for ever.
    """

    step = "copied"
    source: str
    source_region: str
    name: str
    tags: dict[str, str]
    encrypted: bool
    kms_key: str | None

    @property
    def title(self) -> str:
        key = f" with {self.kms_key}" if self.kms_key else ""
        return f"copy {self.source} from {self.source_region}" + (f", encrypted{key}" if self.encrypted else "")

    def do(self, means: Means, run: PlaceRun) -> None:
        region, key = run.place.region, run.place.key
        tags = as_tags(self.tags)
        answer = means.aws.call(
            calls.COPY_IMAGE,
            region,
            f"image {self.source} of {self.source_region}",
            SourceImageId=self.source,
            SourceRegion=self.source_region,
            Name=self.name,
            ClientToken=names.token("copy", self.source, region, means.ledger.entry(key).image),
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
            **({"Encrypted": True} if self.encrypted else {}),
            **({"KmsKeyId": self.kms_key} if self.kms_key else {}),
        )
        run.image = answer["ImageId"]
        means.ledger.note(key, image=run.image)
        _await_image(means, run)


@dataclass(frozen=True, kw_only=True)
class AwaitImage(Action):
    """Wait for an image that EC2 is still making, since an earlier run."""

    step = "copied"
    image: str

    @property
    def title(self) -> str:
        return f"wait for {self.image}, which is being made"

    def do(self, means: Means, run: PlaceRun) -> None:
        run.image = self.image
        _await_image(means, run)


@dataclass(frozen=True, kw_only=True)
class ShareImage(Action):
    """Let others launch the image; with `snapshots`, let accounts copy it, too."""

    step = "shared"
    accounts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    snapshot_accounts: tuple[str, ...] = ()
    public: bool = False

    @property
    def title(self) -> str:
        parts = ["make the image public"] if self.public else []
        if self.accounts or self.organizations or self.units:
            parts.append("share the image with " + ", ".join((*self.accounts, *self.organizations, *self.units)))
        if self.snapshot_accounts:
            parts.append("share its encrypted snapshots with " + ", ".join(self.snapshot_accounts))
        return "; ".join(parts)

    def do(self, means: Means, run: PlaceRun) -> None:
        region, image = run.place.region, run.ami
        add = [
            *({"UserId": each} for each in self.accounts),
            *({"OrganizationArn": each} for each in self.organizations),
            *({"OrganizationalUnitArn": each} for each in self.units),
            *([{"Group": "all"}] if self.public else []),
        ]
        if add:
            means.aws.call(calls.SHARE_IMAGE, region, f"image {image}", ImageId=image, LaunchPermission={"Add": add})
        # A copy may be encrypted by the account's default, whatever the spec says.
        unseen = any(isinstance(each, (CopyImage, AwaitImage)) for each in run.actions)
        accounts = self.snapshot_accounts or (self.accounts if unseen else ())
        if accounts:
            found = _visible(means, run, image)
            for snapshot in found.snapshots if any(each.encrypted for each in found.snapshots) else ():
                means.aws.call(
                    calls.SHARE_SNAPSHOT,
                    region,
                    f"snapshot {snapshot.id}",
                    SnapshotId=snapshot.id,
                    Attribute="createVolumePermission",
                    OperationType="add",
                    UserIds=list(accounts),
                )


@dataclass(frozen=True, kw_only=True)
class DeprecateImage(Action):
    """Set the time from which on the image is not shown to others any more."""

    step = "deprecation"
    at: str

    @property
    def title(self) -> str:
        return f"deprecate the image from {self.at} on"

    def do(self, means: Means, run: PlaceRun) -> None:
        what = f"image {run.ami}"
        means.aws.call(calls.DEPRECATE_IMAGE, run.place.region, what, ImageId=run.ami, DeprecateAt=self.at)


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:12]


def _await_image(means: Means, run: PlaceRun) -> None:
    region, image = run.place.region, run.ami
    began = time.monotonic()

    def look() -> tuple[bool | None, str]:
        # Right after CopyImage the id may not be known everywhere yet; that is not a failure.
        found = observe.find_image(means.aws, region, image)
        state = found.state if found else "not visible yet"
        if not found and time.monotonic() - began > VISIBLE_SECONDS:
            raise AwsError(f"{image} is not in {region}: it was deregistered", "run again: another copy is made")
        if state in (*names.BROKEN_IMAGE, "deregistered", "disabled"):
            reason = f" ({found.reason})" if found and found.reason else ""
            hint = "the image of the build is untouched; run again: the failed copy is removed and made anew"
            raise AwsError(f"{image} in {region} is {state}{reason}", hint)
        return (True if state == "available" else None), state

    means.waiter.until(f"{run.place.key}: {image}", look)


def _visible(means: Means, run: PlaceRun, image: str) -> Image:
    """An image that is there: a look that does not see it yet is not one that finds nothing to do."""

    def look() -> tuple[Image | None, str]:
        found = observe.find_image(means.aws, run.place.region, image)
        return found, "" if found else "not visible yet"

    return means.waiter.until(f"{run.place.key}: {image}", look, every=2, at_most=VISIBLE_SECONDS)
