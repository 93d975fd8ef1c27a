"""Prove running instances, as many as there are, over SSM Run Command."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amigen.aws import calls
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.publish import names, observe, proof
from amigen.publish.proof import Gathered, SuiteProof
from amigen.publish.run_command import Rate, run_script
from amigen.publish.state import Instance
from amigen.publish.wait import Waiter, attempt
from amigen.spec.model import NodeImage
from amigen.verify.report import Report

_UNMANAGED = "is not managed by Systems Manager: agent, role or network is missing"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running instance, and what it answered.

    Attributes:
        platform: Of the spec; empty where its tags do not say.
        output: What the script printed; None where nothing came home.
        problem: Why nothing came home.
    """

    instance: str
    region: str
    platform: str
    output: bytes | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class FleetResult:
    """What came of a fleet.

    Attributes:
        nodes: The running instances with the tag.
        outcomes: Of each node its report, or why there is none.
        failures: Regions that could not be asked.
        tag: Key and value.
    """

    nodes: tuple[Node, ...]
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
    suite, token = proof.SuiteProof(), secrets.token_hex(16)
    found = attempt(
        lambda region: ask_region(
            aws, region, plans=plans, tag=tag, proof=suite, token=token, rate=rate, waiter=waiter
        ),
        regions,
        waiter,
    )
    nodes = tuple(node for each in found if not isinstance(each, AmigenError) for node in each)
    failures = tuple(
        (region, each) for region, each in zip(regions, found, strict=True) if isinstance(each, AmigenError)
    )
    return FleetResult(nodes=nodes, outcomes=tuple(judge(plans, nodes, suite, token)), failures=failures, tag=tag)


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


def ask_region(
    aws: Aws,
    region: str,
    *,
    plans: Mapping[str, ImagePlan],
    tag: tuple[str, str],
    proof: SuiteProof,
    token: str,
    rate: Rate,
    waiter: Waiter,
) -> tuple[Node, ...]:
    """Ask all running instances with a tag in one region, with one command.

    Raises:
        AwsError: A call failed.
        CouldNotCheckError: The command did not get to its end.
    """
    there = _running(aws, region, tag)
    if not there:
        return ()
    script = one_script(plans, proof, token)
    asked = run_script(aws, region, script, call=calls.SEND_COMMAND, waiter=waiter, rate=rate, tag=tag)
    by_instance = {answer.instance: answer for answer in asked.answers}
    unasked = f"is not managed by Systems Manager, or {rate.not_asked}" if asked.stopped else _UNMANAGED
    out = []
    for instance in there:
        answer = by_instance.get(instance.id)
        problem = answer.problem if answer else unasked
        platform = instance.tags.get(names.TAG_PLATFORM) or (next(iter(plans)) if len(plans) == 1 else "")
        out.append(
            Node(
                instance=instance.id,
                region=region,
                platform=platform,
                output=answer.output if answer else None,
                problem=problem,
            )
        )
    return tuple(out)


def one_script(plans: Mapping[str, ImagePlan], proof: SuiteProof, token: str) -> str:
    """Each platform's script in a branch of its own, chosen on the node by its os-release."""
    if len(plans) == 1:
        return proof.script(next(iter(plans.values())), token)
    lines = [". /etc/os-release", 'case "$ID:$VERSION_ID" in']
    for plan in plans.values():
        fact = PLATFORMS[plan.platform]
        lines += [f"{fact.os_id}:{fact.os_version}*)", proof.script(plan, token).rstrip("\n"), ";;"]
    return "\n".join([*lines, "esac", ""])


def judge(
    plans: Mapping[str, ImagePlan], nodes: Sequence[Node], proof: SuiteProof, token: str
) -> list[Report | AmigenError]:
    """A report for each node, or why there is none, in their order."""
    by_platform: dict[str, list[Gathered]] = defaultdict(list)
    for node in nodes:
        if node.output is not None and node.platform in plans:
            by_platform[node.platform].append(Gathered(instance=node.instance, region=node.region, output=node.output))
    judged: dict[str, Report | CouldNotCheckError] = {}
    for platform, gathered in by_platform.items():
        judged |= proof.judge(plans[platform], token, gathered)
    return [judged.get(node.instance) or _unproven(node, plans) for node in nodes]


def _unproven(node: Node, plans: Mapping[str, ImagePlan]) -> CouldNotCheckError:
    where = f"{node.instance} in {node.region}"
    if node.output is None:
        return CouldNotCheckError(f"{where}: {node.problem}", "see it in Fleet Manager")
    known = ", ".join(plans)
    return CouldNotCheckError(f"{where}: its platform is not known", f"tag it {names.TAG_PLATFORM}=..., one of {known}")
