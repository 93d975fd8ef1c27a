"""`amigen fleet verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amigen.base.errors import AmigenError
from amigen.cli.aws import OnAws, on_aws, parse_tag, wait_options
from amigen.cli.document import echo_json, echo_line, echo_text
from amigen.cli.failures import raise_failures
from amigen.cli.options import Group
from amigen.cli.reports import report_options, show_reports, write_reports
from amigen.fleet.verify import preview, verify_fleet
from amigen.publish.names import TAG_NAME, chosen_regions
from amigen.publish.run_command import Answer, Rate
from amigen.publish.wait import Waiter
from amigen.verify.report import Report

if TYPE_CHECKING:
    from amigen.cli.outputs import FleetInstance


@click.group(cls=Group)
def fleet() -> None:
    """Verify running instances over Systems Manager."""


@fleet.command()
@click.option("--tag", metavar="KEY=VALUE", help="Select instances by this tag. Default: amigen/name of the spec.")
@click.option("--region", "regions", multiple=True, help="Only this region of the spec. May be repeated.")
@click.option(
    "--max-concurrency", default="50", show_default=True, help="Number or percentage of instances to verify at once."
)
@click.option("--max-errors", default="10%", show_default=True, help="Stop after so many errors.")
@report_options
@click.option("--dry-run", is_flag=True, help="Show which instances would be verified.")
@wait_options
@on_aws
def verify(
    tag: str | None,
    regions: tuple[str, ...],
    max_concurrency: str,
    max_errors: str,
    junit: Path | None,
    html: Path | None,
    verbose: bool,
    dry_run: bool,
    on: OnAws,
    waiter: Waiter,
) -> None:
    """Run the checks of SPEC on running instances with Run Command. Changes nothing on them."""
    wanted = parse_tag(tag) if tag else (TAG_NAME, on.spec.name)
    where = chosen_regions(on.spec, regions)
    if dry_run:
        there, failures = preview(on.aws, where, wanted)
        if on.json:
            echo_json({"dryRun": True, "instances": there})
        else:
            for region, ids in there.items():
                echo_line(f"{region}: would ask {', '.join(ids) or 'none'}")
        raise_failures(failures)
        return
    found = verify_fleet(on.aws, on.spec, where, wanted, Rate(concurrency=max_concurrency, errors=max_errors), waiter)
    reports = [each for each in found.outcomes if not isinstance(each, AmigenError)]
    if on.json:
        pairs = zip(found.nodes, found.outcomes, strict=True)
        echo_json({"summary": found.counts, "instances": [_as_json(node, each) for node, each in pairs]})
    else:
        show_reports(reports, verbose=verbose)
        for outcome in found.outcomes:
            if isinstance(outcome, AmigenError):
                echo_text(f"UNPROVEN  {outcome.message}\n  hint: {outcome.hint}")
        counts = found.counts
        words = f"{counts['proven']} proven, {counts['failed']} with failed checks, {counts['unproven']} unproven"
        echo_line(f"{len(found.nodes)} instances: {words}")
    write_reports(reports, junit, html)
    raise_failures(found.failures)
    if found.error:
        raise found.error


def _as_json(node: Answer, outcome: Report | AmigenError) -> FleetInstance:
    return {
        "instance": node.instance,
        "region": node.region,
        "platform": node.platform or None,
        "problem": outcome.message if isinstance(outcome, AmigenError) else None,
        "report": None if isinstance(outcome, AmigenError) else outcome,
    }
