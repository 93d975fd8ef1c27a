"""`amigen images base | list | drift | diff | prune`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, DiffersError
from amigen.build.diff import compare_records, diff_document, diff_lines, diff_markdown, find_records
from amigen.cli.aws import aws_options, confirm, progress, record_option, target_options
from amigen.cli.document import echo_json, echo_line, markdown_output_option, output_option
from amigen.cli.durations import Duration
from amigen.cli.failures import raise_failures
from amigen.cli.image_rows import base_json, finding_json, listed_json, prune_json, show_base, show_image, show_prune
from amigen.cli.options import Group, architecture_option, load_on_aws, platform_option, spec_argument
from amigen.images.base import look_at_bases
from amigen.images.drift import look_at_drift
from amigen.images.prune import Rules, list_regions, plan_regions
from amigen.publish import names

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
    targets = names.targets(image, platforms, architectures)
    found = look_at_bases(aws, image, targets, record)
    seen = [each for each in found if not isinstance(each, AmigenError)]
    if output == "json":
        echo_json({"bases": [base_json(each) for each in seen]})
    else:
        for each in seen:
            show_base(each)
    raise_failures(zip([target.key for target in targets], found, strict=True))


@images.command(name="list")
@spec_argument
@_ANY_REGION
@output_option
@aws_options
def list_(spec: str, regions: tuple[str, ...], output: str, aws: Aws) -> None:
    """List the images of SPEC by region, newest first, with what refers to them."""
    image = load_on_aws(spec, aws.profile)
    plans = list_regions(aws, names.chosen_regions(image, regions, anywhere=True), image.name)
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
    raise_failures([each for plan in plans for each in plan.failures])


@images.command()
@spec_argument
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
    where = names.chosen_regions(image, regions, anywhere=True)
    plans, remove = plan_regions(aws, where, image, record, rules)
    if output == "text":
        for plan in plans:
            show_prune(plan)
    if apply:
        if any(plan.doomed or plan.snapshots for plan in plans):
            confirm(yes, "Remove these for good?")
        elif any(plan.reports for plan in plans):
            confirm(yes, "Request these usage reports?")
        remove(progress)
    if output == "json":
        echo_json({"dryRun": not apply, "regions": [prune_json(plan) for plan in plans]})
    elif not apply and any(plan.doomed or plan.snapshots or plan.reports for plan in plans):
        echo_line("nothing was done; --apply does it")
    raise_failures([each for plan in plans for each in plan.failures])


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
    places = names.places(image, platforms, architectures, regions)
    results = look_at_drift(aws, image, spec, places, base=not no_base)
    found = [(place.key, mine) for place, mine in zip(places, results, strict=True)]
    seen = [each for _, mine in found if not isinstance(mine, AmigenError) for each in mine]
    findings = [each for each in seen if not each.note]
    if output == "json":
        notes = [finding_json(each) for each in seen if each.note]
        echo_json({"drift": [finding_json(each) for each in findings], "notes": notes})
    else:
        for key, mine in found:
            if isinstance(mine, AmigenError):
                echo_line(key)
                continue
            echo_line(key + (": as the spec says" if all(each.note for each in mine) else ""))
            for each in mine:
                echo_line(f"  {'note: ' * each.note}{each.subject}: {each.what} {each.message}")
                for line in each.lines:
                    echo_line(f"       {line}")
                echo_line(f"    hint: {each.hint}")
    raise_failures(found)
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
    chosen = compare_records(
        (before, after),
        find_records(before, records),
        find_records(after, records),
        platforms=platforms,
        architectures=architectures,
    )
    if output == "json":
        echo_json(diff_document(chosen))
    else:
        for line in diff_lines(chosen) if output == "text" else diff_markdown(chosen):
            echo_line(line)
