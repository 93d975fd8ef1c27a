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

    from amigen.publish import record as records
    from amigen.publish.ledger import open_ledger
    from amigen.publish.run import look, require_digest
    from amigen.spec.load import spec_digest

    image = load(spec)
    path = record or records.default_path(image)
    wanted = chosen_targets(image, platform, architecture)
    proven = [each for each in records.read_images(path, image) if each.target in wanted]
    records.require_all(proven, wanted, path)
    digest = spec_digest(image)
    require_digest(proven, digest, keep_image=keep_image)
    wish = _wish(image, digest, set_default=set_default, canary=canary, templates=not images_only)
    ledger_path = path.with_name("publish-ledger.json")
    with nullcontext() if dry_run else open_ledger(ledger_path, image.name) as ledger:
        looked = look(aws, wish, proven, chosen_regions(image, regions), patience)
        document = {"dryRun": dry_run, "places": [_as_json(item) for item in looked]}
        if output == "text":
            _show(looked)
        if dry_run or ledger is None:
            if output == "json":
                echo_json(document)
            raise_failures([(item.place.key, item.error) for item in looked if item.error])
            return
        if any(item.plan and item.plan.actions for item in looked):
            confirm(yes, "Apply this plan?")
        _apply(aws, wish, looked, ledger, patience, output)


def _wish(spec: NodeImage, digest: str, *, set_default: bool, canary: bool, templates: bool) -> Wish:
    from amigen.plan.make import plan_images
    from amigen.publish.plan import Wish
    from amigen.userdata.make import user_data

    return Wish(
        spec=spec,
        digest=digest,
        user_data={plan.platform: user_data(plan) for plan in plan_images(spec)} if templates else {},
        now=datetime.now(timezone.utc),
        templates=templates,
        set_default=set_default,
        canary=canary,
    )


def _apply(aws: Aws, wish: Wish, looked: list[Looked], ledger: Any, patience: Patience, output: str) -> None:
    from amigen.publish.apply import Applier
    from amigen.publish.run import places

    runs = Applier(aws=aws, ledger=ledger, patience=patience).apply(places(looked))
    failures = [(item.place.key, item.error) for item in looked if item.error]
    failures += [(run.plan.place.key, run.error) for run in runs if run.error]
    if output == "json":
        documents = {item.place.key: _as_json(item) for item in looked}
        for run in runs:
            documents[run.plan.place.key] |= {
                "image": run.image,
                "template": run.template,
                "version": run.version,
                "default": run.default,
                "done": run.done,
                "error": run.error.message if run.error else None,
            }
        echo_json({"dryRun": False, "ledger": str(ledger.path), "places": list(documents.values())})
    else:
        _conclude(runs, ledger)
    raise_failures(failures)


def _conclude(runs: Any, ledger: Any) -> None:
    click.echo("")
    for run in runs:
        if run.error:
            click.echo(f"{run.plan.place.key}: stopped after {len(run.done)} of {len(run.plan.actions)} steps")
            continue
        parts = [f"image {run.image}"]
        if run.template:
            default = ", the default" if run.default == run.version else ""
            parts.append(f"{run.plan.place.target.template} ({run.template}) version {run.version}{default}")
        click.echo(f"{run.plan.place.key}: " + ", ".join(parts))
    click.echo(f"ledger: {ledger.path}")


def _show(looked: list[Looked]) -> None:
    from amigen.publish.actions import CreateTemplate, CreateVersion

    for item in looked:
        click.echo(f"{item.place.key}")
        if item.error:
            click.echo(f"  cannot be planned: {item.error.message}")
            continue
        assert item.plan is not None, "a place has a plan or an error"
        if not item.plan.actions:
            click.echo("  nothing to do")
        for number, action in enumerate(item.plan.actions, 1):
            click.echo(f"  {number}. {action.title}")
            if isinstance(action, (CreateTemplate, CreateVersion)):
                for line in action.lines:
                    click.echo(f"       {line}")
        for note in item.plan.notes:
            click.echo(f"  note: {note}")


def _as_json(item: Looked) -> dict[str, Any]:
    place, plan = item.place, item.plan
    document: dict[str, Any] = {
        "region": place.region,
        "platform": place.target.platform,
        "architecture": place.target.architecture,
        "error": item.error.message if item.error else None,
    }
    if plan:
        document |= {
            "image": plan.image,
            "template": plan.template,
            "version": plan.version,
            "actions": [
                {"step": a.step, "title": a.title, "diff": list(getattr(a, "lines", ()))} for a in plan.actions
            ],
            "notes": list(plan.notes),
        }
    return document
