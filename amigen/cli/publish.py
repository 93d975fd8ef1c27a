"""`amigen publish`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.cli.aws import (
    aws_options,
    chosen_regions,
    chosen_targets,
    confirm,
    raise_failures,
    target_options,
    wait_options,
)
from amigen.cli.options import echo_json, load, output_option, spec_argument

if TYPE_CHECKING:
    from amigen.aws.session import Aws
    from amigen.publish.plan import Wish
    from amigen.publish.run import Looked
    from amigen.publish.wait import Patience
    from amigen.spec.model import NodeImage


@click.command()
@spec_argument
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Build record; unset: where `amigen build` puts it. The ledger of publishing stands beside it.",
)
@target_options
@click.option("--set-default", is_flag=True, help="Move the templates' default version to the new one.")
@click.option(
    "--canary",
    is_flag=True,
    help="Launch one instance of each new version, verify it, terminate it, and move the default only then.",
)
@click.option(
    "--keep-image", is_flag=True, help="Take the image of the record although the spec has changed since its build."
)
@click.option("--images-only", is_flag=True, help="Copy, share and deprecate; leave parameters and templates.")
@click.option(
    "--rollout",
    "rollouts",
    multiple=True,
    metavar="GROUP",
    help="Then roll the default version out: asg:NAME or nodegroup:CLUSTER/NAME, with @REGION unless the spec has one.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@wait_options
@aws_options
def publish(
    spec: str,
    record: Path | None,
    platform: str | None,
    architecture: str | None,
    regions: tuple[str, ...],
    set_default: bool,
    canary: bool,
    keep_image: bool,
    images_only: bool,
    rollouts: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    output: str,
    aws: Aws,
    patience: Patience,
) -> None:
    """Bring the proven images of SPEC to launch templates: plan, show, apply; safe to repeat."""
    from contextlib import nullcontext

    from amigen.cli.places import as_json, show
    from amigen.publish import record as records
    from amigen.publish.ledger import open_ledger
    from amigen.publish.run import look, require_digest
    from amigen.spec.load import spec_digest

    image = load(spec)
    path = record or records.default_path(image)
    wanted = chosen_targets(image, platform, architecture)
    proven = [each for each in records.read_images(path, image) if each.target in wanted]
    records.require_all(proven, wanted, path)
    require_digest(proven, spec_digest(image), keep_image=keep_image)
    wish = make_wish(image, set_default=set_default, canary=canary, templates=not images_only)
    ledger_path = path.with_name("publish-ledger.json")
    with nullcontext() if dry_run else open_ledger(ledger_path, image.name) as ledger:
        looked = look(aws, wish, proven, chosen_regions(image, regions), patience)
        if output == "text":
            show(looked)
        if dry_run or ledger is None:
            if output == "json":
                echo_json({"dryRun": True, "places": as_json(looked)})
            raise_failures([(item.place.key, item.error) for item in looked if item.error])
            return
        if any(item.plan and item.plan.actions for item in looked):
            confirm(yes, "Apply this plan?")
        _apply(aws, wish, looked, ledger, patience, output)


def make_wish(spec: NodeImage, *, set_default: bool = False, canary: bool = False, templates: bool = True) -> Wish:
    """What the spec wants now, with its rendered user data."""
    from amigen.plan.make import plan_images
    from amigen.publish.plan import Wish
    from amigen.spec.load import spec_digest
    from amigen.userdata.make import user_data

    return Wish(
        spec=spec,
        digest=spec_digest(spec),
        user_data={plan.platform: user_data(plan) for plan in plan_images(spec)} if templates else {},
        now=datetime.now(timezone.utc),
        templates=templates,
        set_default=set_default,
        canary=canary,
    )


def _apply(aws: Aws, wish: Wish, looked: list[Looked], ledger: Any, patience: Patience, output: str) -> None:
    from amigen.cli.places import as_json, conclude
    from amigen.publish.apply import Applier
    from amigen.publish.run import places

    runs = Applier(aws=aws, ledger=ledger, patience=patience).apply(places(looked))
    failures = [(item.place.key, item.error) for item in looked if item.error]
    failures += [(run.plan.place.key, run.error) for run in runs if run.error]
    if output == "json":
        echo_json({"dryRun": False, "ledger": str(ledger.path), "places": as_json(looked, runs)})
    else:
        conclude(runs)
        click.echo(f"ledger: {ledger.path}")
    raise_failures(failures)
