"""`amigen images base | list | drift | diff | prune`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amigen.base.errors import AmigenError, DiffersError
from amigen.base.words import counted
from amigen.build.diff import compare_records, diff_lines, diff_markdown, find_records
from amigen.cli.aws import OnAws, asking, hidden, on_aws, progress, record_option, target_options
from amigen.cli.document import echo_json, echo_line, markdown_output_option
from amigen.cli.durations import Duration
from amigen.cli.failures import raise_failures
from amigen.cli.options import Group, architecture_option, platform_option
from amigen.images.base import BaseRow, look_at_bases
from amigen.images.drift import Intended, look_at_drift
from amigen.images.prune import Listed, RegionPrune, Rules, list_regions
from amigen.images.prune import prune as prune_images
from amigen.publish import names

if TYPE_CHECKING:
    from amigen.cli.outputs import ListedImage, RegionResult

_ANY_REGION = click.option(
    "--region", "regions", multiple=True, help="Only this region, even if it is no longer in the spec. May be repeated."
)


@click.group(cls=Group)
def images() -> None:
    """Base images, own images, drift, pruning."""


@images.command()
@record_option
@platform_option
@architecture_option
@on_aws
def base(record: Path | None, platforms: tuple[str, ...], architectures: tuple[str, ...], on: OnAws) -> None:
    """Show the AMI that a build of SPEC would start from, its age, and whether the last build used an older one."""
    targets = names.targets(on.spec, platforms, architectures)
    found = look_at_bases(on.aws, on.spec, targets, record)
    seen = [each for each in found if not isinstance(each, AmigenError)]
    if on.json:
        echo_json({"bases": seen})
    else:
        for each in seen:
            _show_base(each)
    raise_failures(zip([target.key for target in targets], found, strict=True))


@images.command(name="list")
@_ANY_REGION
@on_aws
def list_(regions: tuple[str, ...], on: OnAws) -> None:
    """List the images of SPEC by region, newest first, with what refers to them."""
    plans = list_regions(on.aws, names.chosen_regions(on.spec, regions, anywhere=True), on.spec.name)
    if on.json:
        gaps = [{"region": plan.region, "what": what} for plan in plans for what in plan.usage.unresolved]
        echo_json(
            {"images": [_listed_json(plan.region, each) for plan in plans for each in plan.images], "unresolved": gaps}
        )
    else:
        for plan in plans:
            echo_line(f"{plan.region}" + ("" if plan.images or plan.error else ": none"))
            for each in plan.images:
                _show_image(each, ", ".join(each.used) or "not used")
            for what in plan.usage.unresolved:
                echo_line(f"  note: {what}, which cannot be resolved: any image may be in use")
    raise_failures([each for plan in plans for each in plan.failures])


@images.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of newest images of each kind to keep.",
)
@click.option("--older-than", type=Duration("d"), default="30d", show_default=True, help="Remove only older images.")
@_ANY_REGION
@record_option
@click.option("--apply", is_flag=True, help="Apply the plan. Default: show it only.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing (default).")
@click.option("--yes", is_flag=True, help="Apply the plan, and do not ask for confirmation.")
@on_aws
def prune(
    keep: int,
    older_than: float,
    regions: tuple[str, ...],
    record: Path | None,
    apply: bool,
    dry_run: bool,
    yes: bool,
    on: OnAws,
) -> None:
    """Remove old images of SPEC with their snapshots; never one that a template, a group or an instance relies on.

    For images that are or were shared, prune requests EC2's usage reports, and keeps what other accounts use.
    """
    # As for all commands that change something, --yes alone does it.
    apply = apply or yes
    if apply and dry_run:
        raise click.UsageError("--apply (or --yes) and --dry-run exclude each other")
    rules = Rules(keep=keep, older_than=timedelta(days=older_than), now=datetime.now(UTC))
    where = names.chosen_regions(on.spec, regions, anywhere=True)
    show, ask = hidden if on.json else _show_prune, asking(yes) if apply else None
    plans = prune_images(on.aws, where, on.spec, record, rules, show=show, ask=ask, say=progress)
    if on.json:
        echo_json({"dryRun": not apply, "regions": [_prune_json(plan) for plan in plans]})
    elif not apply and any(plan.doomed or plan.snapshots or plan.reports for plan in plans):
        echo_line("nothing was done; --apply does it")
    raise_failures([each for plan in plans for each in plan.failures])


@images.command()
@target_options
@click.option("--no-base", is_flag=True, help="Do not check for a newer base image.")
@on_aws
def drift(
    platforms: tuple[str, ...], architectures: tuple[str, ...], regions: tuple[str, ...], no_base: bool, on: OnAws
) -> None:
    """Show differences between SPEC and what is deployed. Exit code 4 if there are any."""
    places = names.places(on.spec, platforms, architectures, regions)
    results = look_at_drift(on.aws, on.spec, on.path, places, base=not no_base)
    found = [(place.key, mine) for place, mine in zip(places, results, strict=True)]
    seen = [each for _, mine in found if not isinstance(mine, AmigenError) for each in mine]
    notes = [each for each in seen if isinstance(each, Intended)]
    findings = [each for each in seen if not isinstance(each, Intended)]
    if on.json:
        echo_json({"drift": findings, "notes": notes})
    else:
        for key, mine in found:
            if isinstance(mine, AmigenError):
                echo_line(key)
                continue
            echo_line(key + (": as the spec says" if all(isinstance(each, Intended) for each in mine) else ""))
            for each in mine:
                echo_line(f"  {'note: ' * isinstance(each, Intended)}{each.subject}: {each.what} {each.message}")
                for line in each.diff:
                    echo_line(f"       {line}")
                echo_line(f"    hint: {each.hint}")
    raise_failures(found)
    if findings:
        raise DiffersError(f"{counted(len(findings), 'difference')} to {on.path}")


@images.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@platform_option
@architecture_option
@click.option(
    "--records",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("amigen-build"),
    show_default=True,
    help="Where the build records of AMIs are.",
)
@markdown_output_option
def diff(
    before: str, after: str, platforms: tuple[str, ...], architectures: tuple[str, ...], records: Path, output: str
) -> None:
    """Show what changed from A to B, each a build record or an AMI: packages, kernel, modules, checks, spec."""
    chosen = compare_records(
        (before, after),
        find_records(before, records),
        find_records(after, records),
        platforms=platforms,
        architectures=architectures,
    )
    if output == "json":
        echo_json({"diffs": chosen})
    else:
        for line in diff_lines(chosen) if output == "text" else diff_markdown(chosen):
            echo_line(line)


def _show_base(each: BaseRow) -> None:
    """A base image, its age, and whether the last build used it."""
    age = "age unknown" if each.age_days is None else f"{each.age_days} days old"
    echo_line(f"{each.platform}/{each.architecture} in {each.region}: {each.image} {each.name} ({age})")
    echo_line(f"  from {each.source}")
    if each.deprecated:
        echo_line(f"  deprecated since {each.deprecated}")
    if not each.last_build:
        echo_line("  no build yet")
    elif each.newer:
        echo_line(f"  NEWER than that of the last build, {each.last_build}: build again to take it")
    elif each.another:
        echo_line(f"  another than that of the last build, {each.last_build}, and not known to be newer")
    else:
        echo_line("  the last build used it")
    for line in each.kernel_changes:
        echo_line(f"  {line}")
    if each.another and each.last_kernel and not each.kernel:
        echo_line(f"  the last build ran kernel {each.last_kernel}; the name of this image does not say its kernel")


def _show_prune(plan: RegionPrune) -> None:
    echo_line(plan.region + (": cannot be looked at" if plan.error and not plan.images else ""))
    for note in plan.notes:
        echo_line(f"  note: {note}")
    for image in plan.reports:
        echo_line(f"  request the usage report of {image}: it is or was shared, and other accounts may use it")
    for snapshot in plan.snapshots:
        echo_line(f"  remove {snapshot} (its image is gone already)")
    for each in plan.images:
        _show_image(each, f"stays: {each.keep}" if each.keep else "REMOVE, with its snapshots")


def _show_image(each: Listed, words: str) -> None:
    image = each.image
    echo_line(f"  {image.id} {image.created[:10]} {image.state} {image.name}: {words}")


def _prune_json(plan: RegionPrune) -> RegionResult:
    return {
        "region": plan.region,
        "error": plan.error.message if plan.error else None,
        "leftoverSnapshots": list(plan.snapshots),
        "usageReports": list(plan.reports),
        "notes": list(plan.notes),
        "images": [
            {
                **_listed_json(plan.region, each),
                "usedByAccounts": list(each.accounts),
                "remove": not each.keep,
                "why": each.keep or None,
            }
            for each in plan.images
        ],
        "removed": plan.removed,
        "failed": [{"what": what, "error": error.message} for what, error in plan.failed],
    }


def _listed_json(region: str, each: Listed) -> ListedImage:
    image = each.image
    return {
        "region": region,
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
