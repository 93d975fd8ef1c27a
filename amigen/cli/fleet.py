"""`amigen fleet verify | document`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.cli.aws import aws_options, chosen_regions, wait_options
from amigen.cli.document import echo_json, echo_line, echo_text, output_option
from amigen.cli.failures import failures_of, raise_failures
from amigen.cli.options import Group, load, load_on_aws, one_plan, spec_argument
from amigen.cli.reports import report_options, show_reports, write_reports

if TYPE_CHECKING:
    from amigen.aws.session import Aws
    from amigen.cli.outputs import FleetInstance
    from amigen.fleet.verify import Node
    from amigen.plan.model import ImagePlan
    from amigen.publish.wait import Waiter
    from amigen.verify.report import Report


@click.group(cls=Group)
def fleet() -> None:
    """Verify running instances over Systems Manager."""


@fleet.command()
@spec_argument
@click.option("--tag", metavar="KEY=VALUE", help="Select instances by this tag. Default: amigen/name of the spec.")
@click.option("--region", "regions", multiple=True, help="Only this region of the spec. May be repeated.")
@click.option(
    "--max-concurrency", default="50", show_default=True, help="Number or percentage of instances to verify at once."
)
@click.option("--max-errors", default="10%", show_default=True, help="Stop after so many errors.")
@report_options
@click.option("--dry-run", is_flag=True, help="Show which instances would be verified.")
@output_option
@wait_options
@aws_options
def verify(
    spec: str,
    tag: str | None,
    regions: tuple[str, ...],
    max_concurrency: str,
    max_errors: str,
    junit: Path | None,
    html: Path | None,
    verbose: bool,
    dry_run: bool,
    output: str,
    aws: Aws,
    waiter: Waiter,
) -> None:
    """Run the checks of SPEC on running instances with Run Command. Changes nothing on them."""
    import secrets

    from amigen.cli.policy import parse_tag
    from amigen.fleet.verify import ask_region, judge
    from amigen.plan.make import plan_images
    from amigen.publish.names import TAG_NAME
    from amigen.publish.proof import SuiteProof
    from amigen.publish.run_command import Rate
    from amigen.publish.wait import attempt

    image = load_on_aws(spec, aws.profile)
    key, value = parse_tag(tag) if tag else (TAG_NAME, image.name)
    where = chosen_regions(image, regions)
    if dry_run:
        _who(aws, where, key, value, output)
        return
    plans: dict[str, ImagePlan] = {plan.platform: plan for plan in plan_images(image)}
    rate = Rate(concurrency=max_concurrency, errors=max_errors)
    proof, token = SuiteProof(), secrets.token_hex(16)
    results = attempt(
        lambda region: ask_region(
            aws, region, plans=plans, tag=(key, value), proof=proof, token=token, rate=rate, waiter=waiter
        ),
        where,
        waiter,
    )
    nodes = [node for found in results if not isinstance(found, AmigenError) for node in found]
    outcomes = judge(plans, nodes, proof, token)
    _report(nodes, outcomes, output, verbose=verbose)
    reports = tuple(each for each in outcomes if not isinstance(each, AmigenError))
    write_reports(reports, junit, html)
    raise_failures(failures_of(where, results))
    _conclude(outcomes, f"{key}={value}")


def _who(aws: Aws, regions: tuple[str, ...], key: str, value: str, output: str) -> None:
    """The instances that would be asked; a region that cannot be looked at does not hide the others."""
    from amigen.publish.observe import running_instances
    from amigen.publish.wait import attempt

    results = attempt(
        lambda region: running_instances(aws, region, f"instances with {key}={value}", **{key: value}), regions
    )
    there = {
        region: [instance.id for instance in found if instance.state == "running"]
        for region, found in zip(regions, results, strict=True)
        if not isinstance(found, AmigenError)
    }
    if output == "json":
        echo_json({"dryRun": True, "instances": there})
    else:
        for region, ids in there.items():
            echo_line(f"{region}: would ask {', '.join(ids) or 'none'}")
    raise_failures(failures_of(regions, results))


def _report(nodes: list[Node], outcomes: list[Report | AmigenError], output: str, *, verbose: bool) -> None:
    counts = {"proven": 0, "failed": 0, "unproven": 0}
    for outcome in outcomes:
        counts["unproven" if isinstance(outcome, AmigenError) else outcome.verdict] += 1
    if output == "json":
        import msgspec

        pairs = zip(nodes, outcomes, strict=True)
        echo_json({"summary": counts, "instances": [_as_json(node, each, msgspec.to_builtins) for node, each in pairs]})
        return
    show_reports([each for each in outcomes if not isinstance(each, AmigenError)], verbose=verbose)
    for outcome in outcomes:
        if isinstance(outcome, AmigenError):
            echo_text(f"UNPROVEN  {outcome.message}\n  hint: {outcome.hint}")
    words = f"{counts['proven']} proven, {counts['failed']} with failed checks, {counts['unproven']} unproven"
    echo_line(f"{len(nodes)} instances: {words}")


def _conclude(outcomes: list[Report | AmigenError], what: str) -> None:
    if not outcomes:
        raise CouldNotCheckError(f"no running instance has the tag {what}", "choose others with --tag KEY=VALUE")
    errors = [each if isinstance(each, AmigenError) else each.error() for each in outcomes]
    failed = [e for e in errors if isinstance(e, ChecksFailedError)]
    unproven = [e for e in errors if e is not None and not isinstance(e, ChecksFailedError)]
    if failed:
        raise ChecksFailedError(f"{len(failed)} of {len(outcomes)} instances failed checks", failed[0].hint)
    if unproven:
        counted = f"{len(unproven)} of {len(outcomes)} instances are not proven"
        raise CouldNotCheckError(f"{counted}; the first: {unproven[0].message}", unproven[0].hint)


def _as_json(node: Node, outcome: Report | AmigenError, plain: Any) -> FleetInstance:
    failed = isinstance(outcome, AmigenError)
    return {
        "instance": node.instance,
        "region": node.region,
        "platform": node.platform or None,
        "problem": outcome.message if isinstance(outcome, AmigenError) else None,
        "report": None if failed else plain(outcome),
    }


@fleet.command()
@spec_argument
@click.option("--platform", help="Platform. Required if the spec has several.")
@click.option("--joined", is_flag=True, help="The nodes must have joined their cluster.")
def document(spec: str, platform: str | None, joined: bool) -> None:
    """Print an SSM document (JSON) that checks a node of SPEC by itself, for State Manager associations."""
    from amigen.export.ssm_document import ssm_document

    echo_json(ssm_document(one_plan(load(spec), platform), joined=joined))
