"""The steps that are about the image: copy, tag, share, deprecate."""

from __future__ import annotations

import time
from typing import Any

from amigen.aws import calls
from amigen.base.errors import AwsError, ConflictError
from amigen.publish import names, observe
from amigen.publish.state import Image
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags
from amigen.spec.model import Aws

VISIBLE_SECONDS = 300.0


def tag_image(image: Image, tags: dict[str, str]) -> Action:
    """Put the tags of success on the image of the build, and on its snapshots."""

    def do(means: Means, run: PlaceRun) -> None:
        # An image that was pending has got its snapshots since it was looked at.
        resources = [image.id, *(each.id for each in image.snapshots or _visible(means, run).snapshots)]
        means.aws.call(calls.TAG_IMAGE, run.place.region, f"image {image.id}", Resources=resources, Tags=as_tags(tags))

    said = ", ".join(f"{key}={_short(value)}" for key, value in tags.items())
    return Action(step="verified", title=f"tag {image.id} and its snapshots: {said}", do=do)


def remove_failed_copy(copy: Image) -> Action:
    """Remove a copy that EC2 gave up, after a last look; its name stands in the way of the next one."""

    def do(means: Means, run: PlaceRun) -> None:
        region = run.place.region
        image = observe.find_image(means.aws, region, copy.id)
        if image is None:
            return
        if image.state not in names.BROKEN_IMAGE:
            raise ConflictError(f"{copy.id} in {region} is {image.state} by now, not failed", "run again")
        # Noted first: what is noted and not there has used up its token, see `copy_image`.
        means.ledger.note(run.place.key, image=copy.id)
        means.aws.call(calls.REMOVE_FAILED_COPY, region, f"image {copy.id}", ImageId=copy.id)

    reason = f" ({copy.reason})" if copy.reason else ""
    return Action(step="removed-failed-copy", title=f"remove the failed copy {copy.id}{reason}", do=do)


def copy_image(source: Image, source_region: str, region: str, tags: dict[str, str], spec: Aws) -> Action:
    """Copy the image of the build into this region, and wait for it.

    It has its tags from the start, so that a cut leaves nothing that the next run could not find. The token names the
    copy that was made here last, which is no more: with the token of that one, EC2 would answer with its id for ever.
    """
    keys = spec.encryption
    kms_key = keys.region_kms_key_ids.get(region, keys.kms_key_id) if keys.enabled else None

    def do(means: Means, run: PlaceRun) -> None:
        key = run.place.key
        answer = means.aws.call(
            calls.COPY_IMAGE,
            region,
            f"image {source.id} of {source_region}",
            SourceImageId=source.id,
            SourceRegion=source_region,
            Name=source.name,
            ClientToken=names.token("copy", source.id, region, means.ledger.entry(key).image),
            TagSpecifications=[{"ResourceType": kind, "Tags": as_tags(tags)} for kind in ("image", "snapshot")],
            **({"Encrypted": True} if keys.enabled else {}),
            **({"KmsKeyId": kms_key} if kms_key else {}),
        )
        run.image = answer["ImageId"]
        means.ledger.note(key, image=run.image)
        _await_image(means, run)

    encrypted = ", encrypted" * keys.enabled + (f" with {kms_key}" if kms_key else "")
    return Action(step="copied", title=f"copy {source.id} from {source_region}{encrypted}", do=do)


def await_image(image: Image) -> Action:
    """Wait for an image that EC2 is still making, since an earlier run."""
    return Action(step="copied", title=f"wait for {image.id}, which is being made", do=_await_image)


def share_image(image: Image | None, spec: Aws) -> Action | None:
    """Let others launch the image, and accounts copy it, too; None where all of them can.

    An account that launches a shared image needs no right on its snapshots; one that copies it does, and for encrypted
    ones that is the usual way (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html).

    Args:
        image: None for the copy that the same plan makes.
    """
    share, have = spec.share, (image.shared if image else None) or frozenset()
    named = [each for each in share.named if each not in have]
    public = share.public and "all" not in have
    encrypted = any(each.encrypted for each in image.snapshots) if image else spec.encryption.enabled
    copying = share.accounts if encrypted else ()
    copying = tuple(each for each in copying if not image or each not in image.snapshots_shared)
    parts = ["make the image public"] if public else []
    if named:
        parts.append("share the image with " + ", ".join(named))
    if copying:
        parts.append("share its encrypted snapshots with " + ", ".join(copying))

    def do(means: Means, run: PlaceRun) -> None:
        region, ami = run.place.region, run.ami
        kinds = {
            "UserId": share.accounts,
            "OrganizationArn": share.organizations,
            "OrganizationalUnitArn": share.organizational_units,
        }
        add = [{kind: each} for kind, all_ in kinds.items() for each in all_ if each in named]
        add += [{"Group": "all"}] if public else []
        if add:
            means.aws.call(calls.SHARE_IMAGE, region, f"image {ami}", ImageId=ami, LaunchPermission={"Add": add})
        # A copy may be encrypted by the account's default, whatever the spec says.
        unseen = share.accounts if run.has("copied") else ()
        accounts = list(copying or (each for each in unseen if each in named))
        snapshots = _visible(means, run).snapshots if accounts else ()
        given: dict[str, Any] = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": accounts}
        for snapshot in snapshots if any(each.encrypted for each in snapshots) else ():
            what = f"snapshot {snapshot.id}"
            means.aws.call(calls.SHARE_SNAPSHOT, region, what, SnapshotId=snapshot.id, **given)

    return Action(step="shared", title="; ".join(parts), do=do) if parts else None


def deprecate_image(at: str) -> Action:
    """Set the time from which on the image is not shown to others any more."""

    def do(means: Means, run: PlaceRun) -> None:
        what = f"image {run.ami}"
        means.aws.call(calls.DEPRECATE_IMAGE, run.place.region, what, ImageId=run.ami, DeprecateAt=at)

    return Action(step="deprecation", title=f"deprecate the image from {at} on", do=do)


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


def _visible(means: Means, run: PlaceRun) -> Image:
    what, region = f"{run.place.key}: {run.ami}", run.place.region
    return means.waiter.visible(what, lambda: observe.find_image(means.aws, region, run.ami), at_most=VISIBLE_SECONDS)
