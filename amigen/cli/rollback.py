"""`amigen rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from amigen.aws.session import Aws
from amigen.base.errors import RefusedError
from amigen.cli.aws import aws_options, chosen_places, confirm, progress, record_option, target_options
from amigen.cli.document import echo_json, output_option
from amigen.cli.failures import raise_failures
from amigen.cli.options import load_on_aws, spec_argument
from amigen.cli.places import as_json, conclude, show
from amigen.publish.apply import Applier
from amigen.publish.ledger import ledger_if_there
from amigen.publish.names import Place
from amigen.publish.place_run import NullLedger
from amigen.publish.record import default_path
from amigen.publish.run import places, planned
from amigen.publish.wait import Waiter, attempt
from amigen.rollout.rollback import plan_rollback


@click.command()
@spec_argument
@click.option("--to", type=click.IntRange(min=1), help="Version to go back to. Default: the previous default.")
@record_option
@target_options
@click.option("--dry-run", is_flag=True, help="Show what would change, do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@output_option
@aws_options
def rollback(
    spec: str,
    to: int | None,
    record: Path | None,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    regions: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    output: str,
    aws: Aws,
) -> None:
    """Move the default version of SPEC's launch templates back, and the parameters with it."""
    image = load_on_aws(spec, aws.profile)
    waiter = Waiter(progress, every=1)
    wanted = chosen_places(image, platforms, architectures, regions)
    if to is not None:
        _require_one(wanted)
    statuses = planned(wanted, attempt(lambda place: plan_rollback(aws, place, to), wanted, waiter))
    if output == "text":
        show(statuses)
    failures = [(item.place.key, item.error) for item in statuses if item.error]
    runs = []
    if not dry_run:
        if any(item.plan and item.plan.actions for item in statuses):
            confirm(yes, "Roll back?")
        path = (record or default_path(image)).with_name("publish-ledger.json")
        with ledger_if_there(path, image.name, progress) as ledger:
            runs = Applier(aws=aws, ledger=NullLedger(), waiter=waiter).apply(places(statuses))
            for run in runs:
                default = run.plan.version if run.error is None else run.default
                if default is not None:
                    ledger.went_back(run.plan.place.key, default=default)
        failures += [(run.plan.place.key, run.error) for run in runs if run.error]
    if output == "json":
        echo_json({"dryRun": dry_run, "places": as_json(statuses, runs)})
    elif runs:
        conclude(runs)
    raise_failures(failures)


def _require_one(places: Sequence[Place]) -> None:
    """Each template counts its own versions: the same number elsewhere may be quite another image.

    Raises:
        RefusedError: There are several places.
    """
    if len(places) > 1:
        raise RefusedError(
            f"--to is a version of one launch template, and this is about {len(places)}: "
            + ", ".join(place.key for place in places),
            "add --region, --platform, --architecture; without --to each goes back to what its own default was before",
        )
