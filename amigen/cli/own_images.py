"""`amigen images list | prune`: the images of a spec by region, and removing old ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from amigen.cli.aws import aws_options, chosen_regions, confirm, raise_failures
from amigen.cli.options import echo_json, load, output_option, spec_argument
from amigen.errors import AmigenError

if TYPE_CHECKING:
    from amigen.aws.session import Aws
    from amigen.publish.prune import Listed, RegionPrune


@click.command(name="list")
@spec_argument
@click.option("--region", "regions", multiple=True, help="Only this region of the spec; may be given again.")
@output_option
@aws_options
def list_(spec: str, regions: tuple[str, ...], output: str, aws: Aws) -> None:
    """List the images of SPEC by region, newest first, with what refers to them."""
    from amigen.publish.prune import list_images

    image = load(spec)

    def look(plan: RegionPrune) -> None:
        plan.images = list_images(aws, plan.region, image.name)

    plans = _by_region(chosen_regions(image, regions), look)
    if output == "json":
        echo_json({"images": [_listed(each) for plan in plans for each in plan.images]})
    else:
        for plan in plans:
            click.echo(f"{plan.region}" + ("" if plan.images or plan.error else ": none"))
            for each in plan.images:
                _show_image(each, ", ".join(each.used) or "not used")
    raise_failures([(plan.region, plan.error) for plan in plans if plan.error])


@click.command()
@spec_argument
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True, help="Newest of each kind that stay.")
@click.option(
    "--older-than",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Only older ones go.",
)
@click.option("--region", "regions", multiple=True, help="Only this region of the spec; may be given again.")
@click.option("--apply", is_flag=True, help="Do it; without it the plan is shown and nothing is done.")
@click.option("--dry-run", is_flag=True, help="Show the plan, do nothing; the default.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@output_option
@aws_options
def prune(
    spec: str,
    keep: int,
    older_than: int,
    regions: tuple[str, ...],
    apply: bool,
    dry_run: bool,
    yes: bool,
    output: str,
    aws: Aws,
) -> None:
    """Remove old images of SPEC with their snapshots; never one that a template, a group or an instance relies on."""
    from amigen.publish.prune import Rules, apply_prune, plan_prune

    if apply and dry_run:
        raise click.UsageError("--apply and --dry-run exclude each other")
    image = load(spec)
    rules = Rules(keep=keep, older_than=timedelta(days=older_than), now=datetime.now(timezone.utc))

    def look(plan: RegionPrune) -> None:
        found = plan_prune(aws, plan.region, image.name, rules)
        plan.images, plan.snapshots = found.images, found.snapshots

    plans = _by_region(chosen_regions(image, regions), look)
    if output == "text":
        for plan in plans:
            _show_prune(plan)
    if apply:
        if any(plan.doomed or plan.snapshots for plan in plans):
            confirm(yes, "Remove these for good?")
        _by_region_again(
            [plan for plan in plans if not plan.error],
            lambda plan: apply_prune(aws, plan, lambda line: click.echo(f"  {line}", err=True)),
        )
    if output == "json":
        echo_json({"dryRun": not apply, "regions": [_prune_json(plan) for plan in plans]})
    elif not apply and any(plan.doomed or plan.snapshots for plan in plans):
        click.echo("nothing was removed; --apply does it")
    raise_failures([(plan.region, plan.error) for plan in plans if plan.error])


def _by_region(regions: tuple[str, ...], look: Any) -> list[RegionPrune]:
    from amigen.publish.prune import RegionPrune

    plans = [RegionPrune(region=region) for region in regions]
    _by_region_again(plans, look)
    return plans


def _by_region_again(plans: list[RegionPrune], work: Any) -> None:
    """Side by side; a region that fails keeps its error and does not hide the others."""
    from amigen.publish.threads import side_by_side
    from amigen.publish.wait import Patience

    def one(plan: RegionPrune) -> None:
        try:
            work(plan)
        except AmigenError as error:
            plan.error = error

    side_by_side(one, plans, Patience(lambda line: None))


def _show_prune(plan: RegionPrune) -> None:
    click.echo(plan.region + (": cannot be looked at" if plan.error else ""))
    for snapshot in plan.snapshots:
        click.echo(f"  remove {snapshot} (its image is gone already)")
    for each in plan.images:
        _show_image(each, f"stays: {each.keep}" if each.keep else "REMOVE, with its snapshots")


def _show_image(each: Listed, words: str) -> None:
    image = each.image
    click.echo(f"  {image.id} {image.created[:10]} {image.state} {image.name}: {words}")


def _prune_json(plan: RegionPrune) -> dict[str, Any]:
    return {
        "region": plan.region,
        "error": plan.error.message if plan.error else None,
        "leftoverSnapshots": list(plan.snapshots),
        "images": [{**_listed(each), "remove": not each.keep, "why": each.keep or None} for each in plan.images],
        "removed": plan.removed,
    }


def _listed(each: Listed) -> dict[str, Any]:
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
