"""`amigen publish`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from amigen.aws.session import Aws
from amigen.base.errors import InputError
from amigen.cli.aws import (
    aws_options,
    chosen_regions,
    chosen_targets,
    confirm,
    record_option,
    target_options,
    wait_options,
)
from amigen.cli.document import echo_json, echo_line, output_option
from amigen.cli.failures import raise_failures
from amigen.cli.options import load_on_aws, spec_argument
from amigen.cli.places import as_json, conclude, show
from amigen.cli.rollouts import conclude_rollouts, parse_groups, preference_options, rollouts_json, show_previews
from amigen.plan.make import plan_images
from amigen.publish import record as records
from amigen.publish.apply import Applier
from amigen.publish.ledger import open_ledger
from amigen.publish.place_run import Canary
from amigen.publish.request import make_request
from amigen.publish.run import PlaceStatus, look, places, require_digest
from amigen.publish.wait import Waiter
from amigen.rollout.group import Preferences, RolloutPreview
from amigen.rollout.run import look_at, roll_out
from amigen.spec.load import spec_digest
from amigen.spec.model import NodeImage


@click.command()
@spec_argument
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
@preference_options
@click.option(
    "--canary-subnet",
    "subnets",
    multiple=True,
    metavar="REGION=SUBNET",
    help="Subnet of a canary. Default: aws.subnetId in the region of the build, else the default VPC.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@output_option
@wait_options
@aws_options
def publish(
    spec: str,
    record: Path | None,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    regions: tuple[str, ...],
    set_default: bool,
    canary: bool,
    keep_image: bool,
    images_only: bool,
    rollouts: tuple[str, ...],
    preferences: Preferences,
    subnets: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    output: str,
    aws: Aws,
    waiter: Waiter,
) -> None:
    """Publish the proven images of SPEC to launch templates. Safe to repeat."""
    _refuse_combinations(images_only, {"--set-default": set_default, "--canary": canary, "--rollout": bool(rollouts)})
    if subnets and not canary:
        raise click.UsageError("--canary-subnet belongs to --canary")
    image = load_on_aws(spec, aws.profile)
    where = chosen_regions(image, regions)
    groups = parse_groups(rollouts, where, preferences)
    if groups and not (set_default or canary):
        raise InputError("--rollout rolls out the default version", "add --set-default or --canary")
    path = record or records.default_path(image)
    wanted = chosen_targets(image, platforms, architectures)
    proven = [each for each in records.read_images(path, image) if each.target in wanted]
    records.require_all(proven, wanted, path)
    require_digest(proven, spec_digest(image), keep_image=keep_image)
    request = make_request(image, spec, set_default=set_default, canary=canary, templates=not images_only)
    ledger_path = path.with_name("publish-ledger.json")
    with nullcontext() if dry_run else open_ledger(ledger_path, image.name) as ledger:
        statuses = look(aws, request, proven, where, waiter)
        previews = look_at(aws, groups, statuses, waiter)
        refused = [(each.group.text, each.error) for each in previews if each.error]
        if output == "text":
            show(statuses)
            show_previews(previews)
        if dry_run or ledger is None or refused:
            if output == "json":
                echo_json({"dryRun": dry_run, "places": as_json(statuses), "rollouts": rollouts_json(previews)})
            # Nothing is done where a group could not follow: the default would have moved for nobody.
            raise_failures([*((item.place.key, item.error) for item in statuses if item.error), *refused])
            return
        if groups or any(item.plan and item.plan.actions for item in statuses):
            confirm(yes, "Apply this plan?")
        prover = _canary(aws, image, ledger, waiter, parse_subnets(subnets, where)) if canary else None
        _apply(aws, statuses, previews, ledger, waiter, output, prover)


def _refuse_combinations(images_only: bool, others: dict[str, bool]) -> None:
    for option, given in others.items():
        if images_only and given:
            raise click.UsageError(f"--images-only does not change templates, but {option} is about them")


def _canary(aws: Aws, spec: NodeImage, ledger: Any, waiter: Waiter, subnets: dict[str, str]) -> Canary:
    from amigen.publish.canary import CanaryRunner
    from amigen.publish.proof import SuiteProof

    return CanaryRunner(
        aws=aws,
        plans={plan.platform: plan for plan in plan_images(spec)},
        proof=SuiteProof(),
        ledger=ledger,
        waiter=waiter,
        subnets=subnets,
    )


def parse_subnets(given: Sequence[str], regions: Sequence[str]) -> dict[str, str]:
    """`REGION=SUBNET` of `--canary-subnet`.

    Raises:
        InputError: It is not that, or the region is not of this publish.
    """
    out = {}
    for text in given:
        region, equals, subnet = text.partition("=")
        if not equals or region not in regions or not subnet.startswith("subnet-"):
            known = ", ".join(regions)
            raise InputError(f"--canary-subnet {text!r} is not REGION=SUBNET", f"regions of this publish: {known}")
        out[region] = subnet
    return out


def _apply(
    aws: Aws,
    statuses: list[PlaceStatus],
    previews: list[RolloutPreview],
    ledger: Any,
    waiter: Waiter,
    output: str,
    canary: Canary | None,
) -> None:

    runs = Applier(aws=aws, ledger=ledger, waiter=waiter, canary=canary).apply(places(statuses))
    failures = [(item.place.key, item.error) for item in statuses if item.error]
    failures += [(run.plan.place.key, run.error) for run in runs if run.error]
    rolled = [] if failures else roll_out(aws, [each.group for each in previews], runs, waiter, ledger)
    failures += [(each.group.text, each.error) for each in rolled if each.error]
    if output == "json":
        document = {"dryRun": False, "ledger": str(ledger.path), "places": as_json(statuses, runs)}
        echo_json({**document, "rollouts": rollouts_json(previews, rolled)})
    else:
        conclude(runs)
        conclude_rollouts(previews, rolled)
        echo_line(f"ledger: {ledger.path}")
    raise_failures(failures)
