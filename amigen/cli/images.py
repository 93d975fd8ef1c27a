"""`amigen images`: `base` and `drift` here, `list` and `prune` in `amigen.cli.own_images`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.cli.aws import (
    aws_options,
    chosen_regions,
    chosen_targets,
    raise_failures,
    target_options,
)
from amigen.cli.options import echo_json, load, output_option, spec_argument
from amigen.cli.own_images import list_, prune
from amigen.errors import AmigenError, DiffersError

if TYPE_CHECKING:
    from amigen.aws.session import Aws


@click.group()
def images() -> None:
    """Base images, own images, drift, pruning."""


images.add_command(list_)
images.add_command(prune)


@images.command()
@spec_argument
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Build record; unset: where `amigen build` puts it.",
)
@click.option("--platform", help="Only this platform of the spec.")
@click.option("--architecture", help="Only this architecture of the spec.")
@output_option
@aws_options
def base(spec: str, record: Path | None, platform: str | None, architecture: str | None, output: str, aws: Aws) -> None:
    """Show the AMI that a build of SPEC would start from, its age, and whether the last build used an older one."""
    from amigen.publish.base import find_base
    from amigen.publish.record import default_path, last_sources

    image = load(spec)
    used = last_sources(record or default_path(image), image, required=record is not None)
    rows: list[dict[str, Any]] = []
    failures: list[tuple[str, AmigenError]] = []
    for target in chosen_targets(image, platform, architecture):
        try:
            found = find_base(aws, image, target, image.aws.region)
        except AmigenError as error:
            failures.append((target.key, error))
            continue
        last = used.get(target, "")
        rows.append(
            {
                "platform": target.platform,
                "architecture": target.architecture,
                "region": found.region,
                "from": found.source.text,
                "image": found.image.id,
                "name": found.image.name,
                "created": found.image.created,
                "ageDays": found.age_days(datetime.now(timezone.utc)),
                "deprecated": found.image.deprecated or None,
                "lastBuild": last or None,
                "newer": bool(last) and last != found.image.id,
            }
        )
    if output == "json":
        echo_json({"bases": rows})
    else:
        for row in rows:
            _show_base(row)
    raise_failures(failures)


def _show_base(row: dict[str, Any]) -> None:
    age = "age unknown" if row["ageDays"] is None else f"{row['ageDays']} days old"
    click.echo(f"{row['platform']}/{row['architecture']} in {row['region']}: {row['image']} {row['name']} ({age})")
    click.echo(f"  from {row['from']}")
    if row["deprecated"]:
        click.echo(f"  deprecated since {row['deprecated']}")
    if row["lastBuild"] is None:
        click.echo("  no build yet")
    elif row["newer"]:
        click.echo(f"  NEWER than that of the last build, {row['lastBuild']}: build again to take it")
    else:
        click.echo("  the last build used it")


@images.command()
@spec_argument
@target_options
@click.option("--no-base", is_flag=True, help="Do not look whether there is a newer base image.")
@output_option
@aws_options
def drift(
    spec: str,
    platform: str | None,
    architecture: str | None,
    regions: tuple[str, ...],
    no_base: bool,
    output: str,
    aws: Aws,
) -> None:
    """Say where what runs is not what SPEC says: templates, images, parameters, instances, base; exit code 4 if so."""
    from amigen.cli.publish import make_wish
    from amigen.publish.drift import Finding, find_drift
    from amigen.publish.names import Place
    from amigen.publish.run import Looked
    from amigen.publish.threads import side_by_side
    from amigen.publish.wait import Patience

    image = load(spec)
    wish = make_wish(image)
    looked = [
        Looked(place=Place(region=region, target=target))
        for target in chosen_targets(image, platform, architecture)
        for region in chosen_regions(image, regions)
    ]
    found: dict[str, tuple[Finding, ...]] = {}

    def one(item: Looked) -> None:
        try:
            found[item.place.key] = find_drift(aws, wish, item.place, build_region=image.aws.region, base=not no_base)
        except AmigenError as error:
            item.error = error

    side_by_side(one, looked, Patience(lambda line: None))
    findings = [each for item in looked for each in found.get(item.place.key, ())]
    if output == "json":
        echo_json({"drift": [_finding(each) for each in findings]})
    else:
        for item in looked:
            mine = found.get(item.place.key)
            click.echo(item.place.key + (": as the spec says" if mine == () else ""))
            for each in mine or ():
                click.echo(f"  {each.subject}: {each.what} {each.message}")
                for line in each.lines:
                    click.echo(f"       {line}")
                click.echo(f"    hint: {each.hint}")
    raise_failures([(item.place.key, item.error) for item in looked if item.error])
    if findings:
        raise DiffersError(f"{len(findings)} difference{'s'[: len(findings) != 1]} to {spec}")


def _finding(each: Any) -> dict[str, Any]:
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
