"""Prove running instances, as many as there are, over SSM Run Command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amigen.aws import calls
from amigen.aws.session import Aws
from amigen.plan.model import ImagePlan
from amigen.publish import names, observe
from amigen.publish.proof import Outcome, Proof
from amigen.publish.run_command import Answer, Rate, run_script
from amigen.publish.state import Instance
from amigen.publish.wait import Patience


@dataclass(frozen=True, kw_only=True)
class NodeProof:
    """What is known of one instance.

    Attributes:
        problem: Why it could not be proven either way; empty where it could.
    """

    instance: str
    region: str
    platform: str
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The checks that failed."""
        return tuple(each for each in self.outcomes if each.status == "failed")


def verify_region(
    aws: Aws,
    region: str,
    *,
    plans: Mapping[str, ImagePlan],
    tag: tuple[str, str],
    proof: Proof,
    rate: Rate,
    patience: Patience,
) -> tuple[NodeProof, ...]:
    """Prove all running instances with a tag in one region; one script serves all platforms of the spec.

    Raises:
        AwsError: A call failed.
        CouldNotCheckError: The command did not get to its end.
    """
    found = observe.running_instances(aws, region, f"instances with {'='.join(tag)}", **{tag[0]: tag[1]})
    there = [i for i in found if i.state == "running" and names.TAG_CANARY not in i.tags]
    if not there:
        return ()
    script = _one_script(plans, proof)
    answers = run_script(aws, region, script, call=calls.SEND_COMMAND, patience=patience, rate=rate, tag=tag)
    by_instance = {answer.instance: answer for answer in answers}
    return tuple(_judge(region, instance, by_instance.get(instance.id), plans, proof) for instance in there)


def _one_script(plans: Mapping[str, ImagePlan], proof: Proof) -> str:
    """Each platform's script in a branch of its own, chosen on the node by its os-release."""
    from amigen.knowledge import PLATFORM_FACTS
    from amigen.render.quoting import sh

    if len(plans) == 1:
        return proof.script(next(iter(plans.values())))
    lines = [". /etc/os-release", 'case "$ID:$VERSION_ID" in']
    for platform, plan in plans.items():
        fact = PLATFORM_FACTS[plan.platform]
        lines += [f"{sh(f'{fact.os_id}:{fact.os_version}')})", f"echo 'amigen-platform {platform}' >&2"]
        lines += [proof.script(plan), ";;"]
    return "\n".join([*lines, '*) echo "not a platform of the spec: $ID $VERSION_ID" >&2; exit 3 ;;', "esac", ""])


def _judge(
    region: str, instance: Instance, answer: Answer | None, plans: Mapping[str, ImagePlan], proof: Proof
) -> NodeProof:
    platform = instance.tags.get(names.TAG_PLATFORM) or (next(iter(plans)) if len(plans) == 1 else "")
    plan = plans.get(platform)

    def unproven(problem: str) -> NodeProof:
        return NodeProof(instance=instance.id, region=region, platform=platform, problem=problem)

    if answer is None:
        return unproven("is not managed by Systems Manager: agent, role or network is missing")
    if answer.output is None:
        return unproven(answer.problem)
    if plan is None:
        return unproven(f"its platform is not known: it has no tag {names.TAG_PLATFORM} of this spec")
    try:
        outcomes = tuple(proof.judge(plan, answer.output))
    except ValueError as error:
        return unproven(str(error))
    if not outcomes:
        return unproven("no check was made")
    return NodeProof(instance=instance.id, region=region, platform=platform, outcomes=outcomes)


def summary(proofs: Sequence[NodeProof]) -> tuple[int, int, int]:
    """Counts of instances: proven, with failed checks, unproven."""
    failed = sum(bool(each.failed) for each in proofs)
    unproven = sum(bool(each.problem) for each in proofs)
    return len(proofs) - failed - unproven, failed, unproven
