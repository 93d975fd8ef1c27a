"""`amigen fleet verify | document`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from amigen.cli.aws import aws_options, chosen_regions, raise_failures, wait_options
from amigen.cli.options import echo_json, load, one_plan, output_option, spec_argument
from amigen.errors import AmigenError, ChecksFailedError, CouldNotCheckError

if TYPE_CHECKING:
    from amigen.aws.session import Aws
    from amigen.plan.model import ImagePlan
    from amigen.publish.fleet import NodeProof
    from amigen.publish.wait import Patience


@click.group()
def fleet() -> None:
    """Verify running instances over Systems Manager."""


@fleet.command()
@spec_argument
@click.option("--tag", metavar="KEY=VALUE", help="Instances with this tag; unset: amigen/name of the spec.")
@click.option("--region", "regions", multiple=True, help="Only this region of the spec; may be given again.")
@click.option("--max-concurrency", default="50", show_default=True, help="Instances at once, or a percentage.")
@click.option("--max-errors", default="10%", show_default=True, help="Stop after so many errors.")
@click.option("--dry-run", is_flag=True, help="Show which instances would be asked.")
@output_option
@wait_options
@aws_options
def verify(
    spec: str,
    tag: str | None,
    regions: tuple[str, ...],
    max_concurrency: str,
    max_errors: str,
    dry_run: bool,
    output: str,
    aws: Aws,
    patience: Patience,
) -> None:
    """Run the checks of SPEC on running instances over Run Command; changes nothing on them."""
    from amigen.cli.policy import parse_tag
    from amigen.plan.make import plan_images
    from amigen.publish.fleet import verify_region
    from amigen.publish.names import TAG_NAME
    from amigen.publish.observe import running_instances
    from amigen.publish.proof import node_proof
    from amigen.publish.run_command import Rate
    from amigen.publish.threads import side_by_side

    image = load(spec)
    key, value = parse_tag(tag) if tag else (TAG_NAME, image.name)
    where = chosen_regions(image, regions)
    if dry_run:
        there = {
            r: [i.id for i in running_instances(aws, r, f"instances with {key}={value}", **{key: value})] for r in where
        }
        if output == "json":
            echo_json({"dryRun": True, "instances": there})
            return
        for region, ids in there.items():
            click.echo(f"{region}: would ask {', '.join(ids) or 'none'}")
        return
    plans: dict[str, ImagePlan] = {plan.platform: plan for plan in plan_images(image)}
    rate = Rate(concurrency=max_concurrency, errors=max_errors)
    proof = node_proof()
    found: dict[str, tuple[NodeProof, ...]] = {}
    failures: list[tuple[str, AmigenError]] = []

    def one(region: str) -> None:
        try:
            found[region] = verify_region(
                aws, region, plans=plans, tag=(key, value), proof=proof, rate=rate, patience=patience
            )
        except AmigenError as error:
            failures.append((region, error))

    side_by_side(one, where, patience)
    proofs = [proof for region in where for proof in found.get(region, ())]
    _report(proofs, output)
    raise_failures(failures)
    _judge(proofs, f"{key}={value}")


def _report(proofs: list[NodeProof], output: str) -> None:
    from amigen.publish.fleet import summary

    proven, failed, unproven = summary(proofs)
    if output == "json":
        counts = {"proven": proven, "failed": failed, "unproven": unproven}
        echo_json({"summary": counts, "instances": [_as_json(each) for each in proofs]})
        return
    for each in proofs:
        checks = f"{len(each.outcomes) - len(each.failed)} of {len(each.outcomes)} checks passed"
        click.echo(f"{each.instance} {each.region} {each.platform}: {each.problem or checks}")
        for outcome in each.failed:
            click.echo(f"    FAILED {outcome.check}: {outcome.message}")
    click.echo(f"{len(proofs)} instances: {proven} proven, {failed} with failed checks, {unproven} unproven")


def _judge(proofs: list[NodeProof], what: str) -> None:
    failed = sum(bool(each.failed) for each in proofs)
    unproven = [each for each in proofs if each.problem]
    if failed:
        raise ChecksFailedError(f"{failed} of {len(proofs)} instances failed checks")
    if unproven:
        raise CouldNotCheckError(f"{len(unproven)} of {len(proofs)} instances could not be checked")
    if not proofs:
        raise CouldNotCheckError(f"no running instance has the tag {what}", "choose others with --tag KEY=VALUE")


def _as_json(each: NodeProof) -> dict[str, Any]:
    return {
        "instance": each.instance,
        "region": each.region,
        "platform": each.platform or None,
        "problem": each.problem or None,
        "checks": [{"check": o.check, "status": o.status, "message": o.message or None} for o in each.outcomes],
    }


@fleet.command()
@spec_argument
@click.option("--platform", help="Of this platform, where the spec has several.")
def document(spec: str, platform: str | None) -> None:
    """Print an SSM document that checks a node of SPEC by itself, for State Manager associations."""
    from amigen.publish.ssm_document import ssm_document

    echo_json(ssm_document(one_plan(load(spec), platform)))
