"""The steps of a plan that are about the image: copy, tag, share, deprecate."""

from __future__ import annotations

import time

from amigen.aws import calls
from amigen.base.errors import AwsError, ConflictError
from amigen.publish import names, observe
from amigen.publish.actions import AwaitImage, CopyImage, DeprecateImage, RemoveFailedCopy, ShareImage, TagImage
from amigen.publish.place_run import Means, PlaceRun
from amigen.publish.state import Image
from amigen.publish.template import as_tags

VISIBLE_SECONDS = 300.0


def tag(means: Means, run: PlaceRun, action: TagImage) -> None:
    """The tags of success; an image that was pending has got its snapshots since it was looked at."""
    region = run.place.region
    snapshots = action.snapshots or [each.id for each in _visible(means, run, action.image).snapshots]
    means.aws.call(
        calls.TAG_IMAGE,
        region,
        f"image {action.image}",
        Resources=[action.image, *snapshots],
        Tags=as_tags(action.tags),
    )
    run.image = action.image


def remove_failed(means: Means, run: PlaceRun, action: RemoveFailedCopy) -> None:
    """Deregister, after a last look: only what EC2 itself calls failed."""
    region = run.place.region
    image = observe.find_image(means.aws, region, action.image)
    if image is None:
        return
    if image.state not in names.BROKEN_IMAGE:
        raise ConflictError(f"{action.image} in {region} is {image.state} by now, not failed", "run again")
    # Noted first: what is noted and not there has used up its token, see `copy`.
    means.ledger.note(run.place.key, image=action.image)
    means.aws.call(calls.REMOVE_FAILED_COPY, region, f"image {action.image}", ImageId=action.image)


def copy(means: Means, run: PlaceRun, action: CopyImage) -> None:
    """Copy with tags from the start, so that a cut leaves nothing that the next run could not find.

    The token names the copy that was made here last, which is no more: with the token of that one, EC2 would answer
    with its id for ever.
    """
    region, key = run.place.region, run.place.key
    tags = as_tags(action.tags)
    token = names.token("copy", action.source, region, means.ledger.image(key))
    answer = means.aws.call(
        calls.COPY_IMAGE,
        region,
        f"image {action.source} of {action.source_region}",
        SourceImageId=action.source,
        SourceRegion=action.source_region,
        Name=action.name,
        ClientToken=token,
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
        **({"Encrypted": True} if action.encrypted else {}),
        **({"KmsKeyId": action.kms_key} if action.kms_key else {}),
    )
    run.image = answer["ImageId"]
    means.ledger.note(key, image=run.image)
    _await_image(means, run, answer["ImageId"])


def await_image(means: Means, run: PlaceRun, action: AwaitImage) -> None:
    """An image that an earlier run began."""
    run.image = action.image
    _await_image(means, run, action.image)


def _await_image(means: Means, run: PlaceRun, image: str) -> None:
    region = run.place.region
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
    place = run.place

    def look() -> tuple[Image | None, str]:
        found = observe.find_image(means.aws, place.region, image)
        return found, "" if found else "not visible yet"

    return means.waiter.until(f"{place.key}: {image}", look, every=2, at_most=VISIBLE_SECONDS)


def share(means: Means, run: PlaceRun, action: ShareImage) -> None:
    """Add what is missing. A copy may be encrypted by the account's default, whatever the spec says."""
    region, image = run.place.region, image_of(run)
    add = [
        *({"UserId": each} for each in action.accounts),
        *({"OrganizationArn": each} for each in action.organizations),
        *({"OrganizationalUnitArn": each} for each in action.units),
        *([{"Group": "all"}] if action.public else []),
    ]
    if add:
        means.aws.call(calls.SHARE_IMAGE, region, f"image {image}", ImageId=image, LaunchPermission={"Add": add})
    unseen = run.plan.image is None or any(isinstance(each, AwaitImage) for each in run.plan.actions)
    accounts = action.snapshot_accounts or (action.accounts if unseen else ())
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


def deprecate(means: Means, run: PlaceRun, action: DeprecateImage) -> None:
    """Set the time."""
    image = image_of(run)
    means.aws.call(calls.DEPRECATE_IMAGE, run.place.region, f"image {image}", ImageId=image, DeprecateAt=action.at)


def image_of(run: PlaceRun) -> str:
    """The image that the plan has by now."""
    assert run.image is not None, "the image comes before what is made of it"
    return run.image
