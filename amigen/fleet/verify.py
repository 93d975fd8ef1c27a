"""Prove running instances, as many as there are, over SSM Run Command."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amigen.aws import calls
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.plan.make import plan_images
from amigen.publish import names, observe, proof
from amigen.publish.run_command import Answer, Rate, run_script
from amigen.publish.state import Instance
from amigen.publish.wait import Waiter, attempt
from amigen.spec.model import NodeImage
from amigen.verify.report import Report

_UNMANAGED = "is not managed by Systems Manager: agent, role or network is missing"


@dataclass(frozen=True, kw_only=True)
class FleetResult:
    """What came of a fleet.

    Attributes:
        nodes: The running instances with the tag.
        outcomes: Of each node its report, or why there is none.
        failures: Regions that could not be asked.
        tag: Key and value.
    """

    nodes: tuple[Answer, ...]
    outcomes: tuple[Report | AmigenError, ...]
    failures: tuple[tuple[str, AmigenError], ...]
    tag: tuple[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Instances by verdict."""
        counts = {"proven": 0, "failed": 0, "unproven": 0}
        for outcome in self.outcomes:
            counts["unproven" if isinstance(outcome, AmigenError) else outcome.verdict] += 1
        return counts

    @property
    def error(self) -> AmigenError | None:
        """The error of the whole; None where all is proven."""
        if not self.outcomes:
            what = f"no running instance has the tag {'='.join(self.tag)}"
            return CouldNotCheckError(what, "choose others with --tag KEY=VALUE")
        errors = [each if isinstance(each, AmigenError) else each.error() for each in self.outcomes]
        failed = [e for e in errors if isinstance(e, ChecksFailedError)]
        if failed:
            return ChecksFailedError(f"{len(failed)} of {len(errors)} instances failed checks", failed[0].hint)
        unproven = [e for e in errors if e]
        if not unproven:
            return None
        counted = f"{len(unproven)} of {len(errors)} instances are not proven"
        return CouldNotCheckError(f"{counted}; the first: {unproven[0].message}", unproven[0].hint)


def verify_fleet(
    aws: Aws, spec: NodeImage, regions: Sequence[str], tag: tuple[str, str], rate: Rate, waiter: Waiter
) -> FleetResult:
    """Ask the running instances with a tag in several regions, and judge what they answer."""
    plans = {plan.platform: plan for plan in plan_images(spec)}
    token = secrets.token_hex(16)
    script = proof.script_of(plans, token)

    def ask(region: str) -> list[Answer]:
        """All running instances of a region, with one command."""
        there = _running(aws, region, tag)
        if not there:
            return []
        answers, stopped = run_script(aws, region, script, call=calls.SEND_COMMAND, waiter=waiter, rate=rate, tag=tag)
        unasked = f"is not managed by Systems Manager, or {rate.not_asked}" if stopped else _UNMANAGED
        only = next(iter(plans)) if len(plans) == 1 else ""
        return [
            replace(
                answers.get(each.id) or Answer(instance=each.id, region=region, problem=unasked),
                platform=each.tags.get(names.TAG_PLATFORM) or only,
            )
            for each in there
        ]

    found = attempt(ask, regions, waiter)
    nodes = tuple(node for each in found if not isinstance(each, AmigenError) for node in each)
    failures = tuple(
        (region, each) for region, each in zip(regions, found, strict=True) if isinstance(each, AmigenError)
    )
    return FleetResult(nodes=nodes, outcomes=tuple(proof.judge(plans, token, nodes)), failures=failures, tag=tag)


def preview(
    aws: Aws, regions: Sequence[str], tag: tuple[str, str]
) -> tuple[dict[str, list[str]], list[tuple[str, AmigenError]]]:
    """Region -> running instances that would be asked, and the regions that cannot be looked at."""
    found = attempt(lambda region: _running(aws, region, tag), regions)
    pairs = list(zip(regions, found, strict=True))
    there = {region: [each.id for each in ids] for region, ids in pairs if not isinstance(ids, AmigenError)}
    return there, [(region, each) for region, each in pairs if isinstance(each, AmigenError)]


def _running(aws: Aws, region: str, tag: tuple[str, str]) -> list[Instance]:
    found = observe.running_instances(aws, region, f"instances with {'='.join(tag)}", **{tag[0]: tag[1]})
    return [each for each in found if each.state == "running"]
