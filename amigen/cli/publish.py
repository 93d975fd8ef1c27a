"""`amigen publish` and `amigen rollback`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.cli.aws import OnAws, asking, hidden, on_aws, progress, record_option, target_options, wait_options
from amigen.cli.document import echo_json, echo_line
from amigen.cli.durations import Duration
from amigen.cli.failures import raise_failures
from amigen.cli.options import with_options
from amigen.publish import names
from amigen.publish.steps import PlaceRun
from amigen.publish.wait import Waiter
from amigen.rollout import release
from amigen.rollout.group import GroupRun, Preferences
from amigen.rollout.release import PublishOrder, Released

if TYPE_CHECKING:
    from amigen.cli.outputs import PlaceResult, Rollout

_PERCENT = click.IntRange(min=0, max=100)
_SECONDS = Duration("s", whole=True)
_preference_options = with_options(
    click.option("--min-healthy", type=_PERCENT, help="Refresh: percentage of a group that stays in service."),
    click.option("--warm-up", type=_SECONDS, help="Refresh: time until a new instance counts as in service."),
    click.option(
        "--checkpoint", "checkpoints", type=_PERCENT, multiple=True, help="Refresh: pause at this percentage."
    ),
    click.option("--checkpoint-delay", type=_SECONDS, help="Refresh: length of each pause."),
    click.option(
        "--standby", type=click.Choice(["Terminate", "Ignore", "Wait"]), help="Refresh: instances in standby."
    ),
    click.option(
        "--protected",
        type=click.Choice(["Refresh", "Ignore", "Wait"]),
        help="Refresh: instances protected from scale in.",
    ),
    click.option("--force", is_flag=True, help="Node group: replace nodes whose pods cannot be evicted."),
)


@click.command()
@record_option
@target_options
@click.option("--set-default", is_flag=True, help="Move the templates' default version to the new one.")
@click.option(
    "--canary",
    is_flag=True,
    help="Launch one instance of each new version, verify it, terminate it, and move the default only then.",
)
@click.option(
    "--keep-image", is_flag=True, help="Publish the recorded image even if the spec has changed since its build."
)
@click.option(
    "--images-only", is_flag=True, help="Copy, share and deprecate only; do not change parameters and templates."
)
@click.option(
    "--rollout",
    "rollouts",
    multiple=True,
    metavar="GROUP",
    help="Then roll out the default version to asg:NAME or nodegroup:CLUSTER/NAME, with @REGION if there are several.",
)
@_preference_options
@click.option(
    "--canary-subnet",
    "subnets",
    multiple=True,
    metavar="REGION=SUBNET",
    help="Subnet of a canary. Default: aws.subnetId in the region of the build, else the default VPC.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@wait_options
@on_aws
def publish(
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    regions: tuple[str, ...],
    yes: bool,
    on: OnAws,
    waiter: Waiter,
    **given: Any,
) -> None:
    """Publish the proven images of SPEC to launch templates. Safe to repeat."""
    moves = {"--set-default": given["set_default"], "--canary": given["canary"], "--rollout": given["rollouts"]}
    for option, there in moves.items():
        if given["images_only"] and there:
            raise click.UsageError(f"--images-only does not change templates, but {option} is about them")
    if given["subnets"] and not given["canary"]:
        raise click.UsageError("--canary-subnet belongs to --canary")
    preferences = Preferences(**{field.name: given.pop(field.name) for field in dataclasses.fields(Preferences)})
    order = PublishOrder(
        spec=on.spec,
        path=on.path,
        targets=names.targets(on.spec, platforms, architectures),
        regions=names.chosen_regions(on.spec, regions),
        preferences=preferences,
        **given,
    )
    found = release.publish(on.aws, order, waiter, show=hidden if on.json else _show, ask=asking(yes))
    if on.json:
        ledger = {"ledger": str(found.ledger)} if found.ledger else {}
        echo_json(
            {
                "dryRun": order.dry_run,
                **ledger,
                "places": [_place_json(run) for run in found.runs],
                "rollouts": [_rollout_json(each) for each in found.groups],
            }
        )
    elif found.ledger:
        _conclude(found)
        echo_line(f"ledger: {found.ledger}")
    raise_failures(found.failures)


@click.command()
@click.option("--to", type=click.IntRange(min=1), help="Version to go back to. Default: the previous default.")
@record_option
@target_options
@click.option("--dry-run", is_flag=True, help="Show what would change, do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_aws
def rollback(
    to: int | None,
    record: Path | None,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    regions: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    on: OnAws,
) -> None:
    """Move the default version of SPEC's launch templates back, and the parameters with it."""
    places = names.places(on.spec, platforms, architectures, regions)
    found = release.roll_back(
        on.aws,
        on.spec,
        places,
        to,
        Waiter(progress, every=1),
        path=record,
        dry_run=dry_run,
        show=hidden if on.json else _show,
        ask=asking(yes),
    )
    if on.json:
        echo_json({"dryRun": dry_run, "places": [_place_json(run) for run in found.runs]})
    elif any(run.applied for run in found.runs):
        _conclude(found)
    raise_failures(found.failures)


def _show(found: Released) -> None:
    """The plans, with the differences, and the rollouts after them."""
    for run in found.runs:
        echo_line(run.place.key)
        if run.error:
            echo_line(f"  cannot be planned: {run.error.message}")
        elif not run.actions:
            echo_line("  nothing to do")
        for number, action in enumerate(run.actions, 1):
            echo_line(f"  {number}. {action.title}")
            for line in action.lines:
                echo_line(f"       {line}")
        for note in run.notes:
            echo_line(f"  note: {note}")
    for each in found.groups:
        if each.error:
            echo_line(f"then: {each.group.text} cannot be rolled out: {each.error.message}")
        elif each.old:
            new = "(the new one)" if each.new is None else str(each.new)
            echo_line(f"then: roll the default version out to {each.group.text}: version {each.old} -> {new}")
        else:
            echo_line(f"then: {each.group.text}, which is not looked at: the region cannot be planned")


def _conclude(found: Released) -> None:
    """Where things stand after applying."""
    echo_line("")
    for run in found.runs:
        if not run.applied:
            continue
        if run.error:
            echo_line(f"{run.place.key}: stopped after {len(run.done)} of {len(run.actions)} steps")
            continue
        parts = [f"image {run.image}"]
        if run.template:
            default = ", the default" if run.default == run.version else ""
            parts.append(f"{run.place.target.template} ({run.template}) version {run.version}{default}")
        echo_line(f"{run.place.key}: " + ", ".join(parts))
        if run.warning:
            echo_line(f"  warning: {run.warning}")
    for each in found.groups if found.rolled_out else ():
        for line in filter(None, (each.done, each.returned)):
            echo_line(line)
        if not each.done and not each.error:
            echo_line(f"{each.group.text}: left, as one before it failed")
    if found.groups and not found.rolled_out:
        echo_line("no rollout: not everything before it was done")


def _place_json(run: PlaceRun) -> PlaceResult:
    """The plan of a place, and what came of it."""
    document: PlaceResult = {
        "region": run.place.region,
        "platform": run.place.target.platform,
        "architecture": run.place.target.architecture,
        "error": run.error.message if run.error else None,
    }
    if run.applied or not run.error:
        document |= {
            "image": run.image,
            "template": run.template,
            "version": run.version,
            "actions": [{"step": a.step, "title": a.title, "diff": list(a.lines)} for a in run.actions],
            "notes": list(run.notes),
        }
    if run.applied:
        document |= {"default": run.default, "done": run.done, "warning": run.warning or None}
    return document


def _rollout_json(each: GroupRun) -> Rollout:
    """What would be done with a group, and what came of it."""
    return {
        "group": each.group.text,
        "from": each.old or None,
        "to": each.new,
        "done": each.done or None,
        "takenBack": each.returned or None,
        "error": each.error.message if each.error else None,
    }
