"""`amigen images base | list | drift | diff | prune`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, DiffersError, InputError
from amigen.build.diff import compare_records, diff_document, diff_lines, diff_markdown, find_records
from amigen.cli.aws import (
    aws_options,
    chosen_places,
    chosen_regions,
    chosen_targets,
    confirm,
    progress,
    record_option,
    target_options,
)
from amigen.cli.document import echo_json, echo_line, markdown_output_option, output_option
from amigen.cli.durations import Duration
from amigen.cli.failures import failures_of, raise_failures
from amigen.cli.image_rows import finding_json, listed_json, prune_json, show_base, show_image, show_prune
from amigen.cli.options import Group, architecture_option, load_on_aws, platform_option, spec_argument
from amigen.cli.outputs import BaseRow
from amigen.images.base import compared_to, find_base
from amigen.images.drift import find_drift
from amigen.images.elsewhere import Shared
from amigen.images.kernel import series_of_image, series_of_release, text, what_changes
from amigen.images.prune import RegionPrune, Rules, apply_prune, list_images, plan_prune
from amigen.publish.ledger import shared_images
from amigen.publish.names import Target
from amigen.publish.record import default_path, last_kernels, last_sources
from amigen.publish.request import make_request
from amigen.publish.wait import attempt

_ANY_REGION = click.option(
    "--region", "regions", multiple=True, help="Only this region, even if it is no longer in the spec. May be repeated."
)


@click.group(cls=Group)
def images() -> None:
    """Base images, own images, drift, pruning."""


@images.command()
@spec_argument
@record_option
@platform_option
@architecture_option
@output_option
@aws_options
def base(
    spec: str, record: Path | None, platforms: tuple[str, ...], architectures: tuple[str, ...], output: str, aws: Aws
) -> None:
    """Show the AMI that a build of SPEC would start from, its age, and whether the last build used an older one."""
    image = load_on_aws(spec, aws.profile)
    path = record or default_path(image)
    used = last_sources(path, image, required=record is not None)
    kernels = last_kernels(path, image)
    targets = chosen_targets(image, platforms, architectures)

    def row_of(target: Target) -> BaseRow:
        found = find_base(aws, image, target, image.aws.region)
        last = used.get(target, "")
        is_now = compared_to(aws, found, last) if last else "same"
        then = series_of_release(kernels.get(target, "")) if last else None
        now = series_of_image(target.platform, found.image.name)
        return {
            "platform": target.platform,
            "architecture": target.architecture,
            "region": found.region,
            "from": found.source.text,
            "image": found.image.id,
            "name": found.image.name,
            "created": found.image.created,
            "ageDays": found.age_days(datetime.now(UTC)),
            "deprecated": found.image.deprecated or None,
            "lastBuild": last or None,
            "newer": is_now == "newer",
            "another": is_now != "same",
            "kernel": text(now) if now else None,
            "lastKernel": text(then) if then else None,
            "kernelChanges": list(what_changes(image, then, now)) if then and now and then != now else [],
        }

    results = attempt(row_of, targets)
    rows = [each for each in results if not isinstance(each, AmigenError)]
    if output == "json":
        echo_json({"bases": rows})
    else:
        for row in rows:
            show_base(row)
    raise_failures(failures_of([target.key for target in targets], results))


@images.command(name="list")
@spec_argument
@_ANY_REGION
@output_option
@aws_options
def list_(spec: str, regions: tuple[str, ...], output: str, aws: Aws) -> None:
    """List the images of SPEC by region, newest first, with what refers to them."""
    image = load_on_aws(spec, aws.profile)

    plans = _by_region(chosen_regions(image, regions, anywhere=True), lambda plan: list_images(aws, plan, image.name))
    if output == "json":
        gaps = [{"region": plan.region, "what": what} for plan in plans for what in plan.usage.unresolved]
        echo_json({"images": [listed_json(each) for plan in plans for each in plan.images], "unresolved": gaps})
    else:
        for plan in plans:
            echo_line(f"{plan.region}" + ("" if plan.images or plan.error else ": none"))
            for each in plan.images:
                show_image(each, ", ".join(each.used) or "not used")
            for what in plan.usage.unresolved:
                echo_line(f"  note: {what}, which cannot be resolved: any image may be in use")
    raise_failures([(plan.region, plan.error) for plan in plans if plan.error])


@images.command()
@spec_argument
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of newest images of each kind to keep.",
)
@click.option(
    "--older-than",
    type=Duration("d"),
    default="30d",
    show_default=True,
    help="Remove only older images.",
)
@_ANY_REGION
@record_option
@click.option("--apply", is_flag=True, help="Apply the plan. Default: show it only.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing (default).")
@click.option("--yes", is_flag=True, help="Apply the plan, and do not ask for confirmation.")
@output_option
@aws_options
def prune(
    spec: str,
    keep: int,
    older_than: float,
    regions: tuple[str, ...],
    record: Path | None,
    apply: bool,
    dry_run: bool,
    yes: bool,
    output: str,
    aws: Aws,
) -> None:
    """Remove old images of SPEC with their snapshots; never one that a template, a group or an instance relies on.

    For images that are or were shared, prune requests EC2's usage reports, and keeps what other accounts use.
    """
    # As for all commands that change something, --yes alone does it.
    apply = apply or yes
    if apply and dry_run:
        raise click.UsageError("--apply (or --yes) and --dry-run exclude each other")
    image = load_on_aws(spec, aws.profile)
    rules = Rules(keep=keep, older_than=timedelta(days=older_than), now=datetime.now(UTC))

    share = image.aws.share
    shared = Shared(
        images=shared_images((record or default_path(image)).with_name("publish-ledger.json")),
        by_spec=bool(share.accounts or share.organizations or share.organizational_units or share.public),
    )
    plans = _by_region(
        chosen_regions(image, regions, anywhere=True),
        lambda plan: plan_prune(aws, plan, image.name, rules, shared),
    )
    if output == "text":
        for plan in plans:
            show_prune(plan)
    if apply:
        if any(plan.doomed or plan.snapshots for plan in plans):
            confirm(yes, "Remove these for good?")
        elif any(plan.reports for plan in plans):
            confirm(yes, "Request these usage reports?")
        _by_region_again(
            [plan for plan in plans if not plan.error],
            lambda plan: apply_prune(aws, plan, shared, rules.now, progress),
        )
    if output == "json":
        echo_json({"dryRun": not apply, "regions": [prune_json(plan) for plan in plans]})
    elif not apply and any(plan.doomed or plan.snapshots or plan.reports for plan in plans):
        echo_line("nothing was done; --apply does it")
    failures = [(f"{plan.region}: {what}", error) for plan in plans for what, error in plan.failed]
    raise_failures([*failures, *((plan.region, plan.error) for plan in plans if plan.error)])


@images.command()
@spec_argument
@target_options
@click.option("--no-base", is_flag=True, help="Do not check for a newer base image.")
@output_option
@aws_options
def drift(
    spec: str,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    regions: tuple[str, ...],
    no_base: bool,
    output: str,
    aws: Aws,
) -> None:
    """Show differences between SPEC and what is deployed. Exit code 4 if there are any."""
    image = load_on_aws(spec, aws.profile)
    request = make_request(image, spec)
    places = chosen_places(image, platforms, architectures, regions)
    results = attempt(
        lambda place: find_drift(aws, request, place, build_region=image.aws.region, base=not no_base), places
    )
    keys = [place.key for place in places]
    found = {key: each for key, each in zip(keys, results, strict=True) if not isinstance(each, AmigenError)}
    seen = [each for mine in found.values() for each in mine]
    findings = [each for each in seen if not each.note]
    if output == "json":
        notes = [finding_json(each) for each in seen if each.note]
        echo_json({"drift": [finding_json(each) for each in findings], "notes": notes})
    else:
        for key in keys:
            mine = found.get(key)
            well = mine is not None and all(each.note for each in mine)
            echo_line(key + (": as the spec says" if well else ""))
            for each in mine or ():
                echo_line(f"  {'note: ' * each.note}{each.subject}: {each.what} {each.message}")
                for line in each.lines:
                    echo_line(f"       {line}")
                echo_line(f"    hint: {each.hint}")
    raise_failures(failures_of(keys, results))
    if findings:
        raise DiffersError(f"{len(findings)} difference{'s'[: len(findings) != 1]} to {spec}")


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
    found = compare_records((before, after), find_records(before, records), find_records(after, records))
    chosen = tuple(
        each
        for each in found
        if (not platforms or each.platform in platforms) and (not architectures or each.architecture in architectures)
    )
    if not chosen:
        known = ", ".join(f"{each.platform}/{each.architecture}" for each in found)
        raise InputError("the records have no such image in common", f"they have: {known}")
    if output == "json":
        echo_json(diff_document(chosen))
    else:
        for line in diff_lines(chosen) if output == "text" else diff_markdown(chosen):
            echo_line(line)


def _by_region(regions: tuple[str, ...], look: Callable[[RegionPrune], None]) -> list[RegionPrune]:
    plans = [RegionPrune(region=region) for region in regions]
    _by_region_again(plans, look)
    return plans


def _by_region_again(plans: list[RegionPrune], work: Callable[[RegionPrune], None]) -> None:
    """Side by side; a region that fails keeps its error and does not hide the others."""
    for plan, error in zip(plans, attempt(work, plans), strict=True):
        plan.error = error or plan.error
