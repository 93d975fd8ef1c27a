"""Images, differences and what prune does, for a person and for a program."""

from __future__ import annotations

from amigen.cli.document import echo_line
from amigen.cli.outputs import BaseRow, Difference, ListedImage, RegionResult
from amigen.images.base import BaseStatus
from amigen.images.drift import Finding
from amigen.images.prune import Listed, RegionPrune


def show_base(each: BaseStatus) -> None:
    """A base image, its age, and whether the last build used it."""
    base = each.base
    age = "age unknown" if each.age_days is None else f"{each.age_days} days old"
    echo_line(f"{base.target.key} in {base.region}: {base.image.id} {base.image.name} ({age})")
    echo_line(f"  from {base.source.text}")
    if base.image.deprecated:
        echo_line(f"  deprecated since {base.image.deprecated}")
    if not each.last:
        echo_line("  no build yet")
    elif each.comparison == "newer":
        echo_line(f"  NEWER than that of the last build, {each.last}: build again to take it")
    elif each.comparison != "same":
        echo_line(f"  another than that of the last build, {each.last}, and not known to be newer")
    else:
        echo_line("  the last build used it")
    for line in each.kernel_changes:
        echo_line(f"  {line}")
    if each.comparison != "same" and each.last_kernel and not each.kernel:
        echo_line(f"  the last build ran kernel {each.last_kernel}; the name of this image does not say its kernel")


def base_json(each: BaseStatus) -> BaseRow:
    """A base image, for a program."""
    base = each.base
    return {
        "platform": base.target.platform,
        "architecture": base.target.architecture,
        "region": base.region,
        "from": base.source.text,
        "image": base.image.id,
        "name": base.image.name,
        "created": base.image.created,
        "ageDays": each.age_days,
        "deprecated": base.image.deprecated or None,
        "lastBuild": each.last or None,
        "newer": each.comparison == "newer",
        "another": each.comparison != "same",
        "kernel": each.kernel,
        "lastKernel": each.last_kernel,
        "kernelChanges": list(each.kernel_changes),
    }


def finding_json(each: Finding) -> Difference:
    """A difference, for a program."""
    return {
        "region": each.place.region,
        "platform": each.place.target.platform,
        "architecture": each.place.target.architecture,
        "subject": each.subject,
        "what": each.what,
        "message": each.message,
        "hint": each.hint,
        "diff": list(each.lines),
    }


def show_prune(plan: RegionPrune) -> None:
    """What prune would do in one region."""
    echo_line(plan.region + (": cannot be looked at" if plan.error and not plan.images else ""))
    for note in plan.notes:
        echo_line(f"  note: {note}")
    for image in plan.reports:
        echo_line(f"  request the usage report of {image}: it is or was shared, and other accounts may use it")
    for snapshot in plan.snapshots:
        echo_line(f"  remove {snapshot} (its image is gone already)")
    for each in plan.images:
        show_image(each, f"stays: {each.keep}" if each.keep else "REMOVE, with its snapshots")


def show_image(each: Listed, words: str) -> None:
    """One image in a line."""
    image = each.image
    echo_line(f"  {image.id} {image.created[:10]} {image.state} {image.name}: {words}")


def prune_json(plan: RegionPrune) -> RegionResult:
    """What prune would do, and did, in one region."""
    return {
        "region": plan.region,
        "error": plan.error.message if plan.error else None,
        "leftoverSnapshots": list(plan.snapshots),
        "usageReports": list(plan.reports),
        "notes": list(plan.notes),
        "images": [
            {
                **listed_json(each),
                "usedByAccounts": list(each.accounts),
                "remove": not each.keep,
                "why": each.keep or None,
            }
            for each in plan.images
        ],
        "removed": plan.removed,
        "failed": [{"what": what, "error": error.message} for what, error in plan.failed],
    }


def listed_json(each: Listed) -> ListedImage:
    """One image with what refers to it, for a program."""
    image = each.image
    return {
        "region": each.region,
        "image": image.id,
        "name": image.name,
        "state": image.state,
        "created": image.created,
        "deprecated": image.deprecated or None,
        "lastLaunched": image.launched or None,
        "digest": image.tags.get("amigen/digest"),
        "platform": image.tags.get("amigen/platform"),
        "architecture": image.tags.get("amigen/architecture"),
        "snapshots": [s.id for s in image.snapshots],
        "usedBy": list(each.used),
    }
