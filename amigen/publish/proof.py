"""Nodes proven from afar: one script gathers what the checks ask, and the checks are run here on its output.

They are the checks of `amigen verify`, run the same way; only the facts come another way.
"""

from __future__ import annotations

import secrets
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from amigen.base.errors import CouldNotCheckError
from amigen.connections.model import Connection, Target
from amigen.facts import Facts, GatherError, Wanted, gather_script, read_facts
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.publish.names import TAG_PLATFORM
from amigen.publish.run_command import Answer
from amigen.render.suite import facts_of
from amigen.testing.backend import backend_over
from amigen.verify.report import Report, Result
from amigen.verify.run import NODE, make_report, write_suite
from amigen.verify.session import SessionInput, run_session
from amigen.vm.scratch import scratch


class _Gathered(Connection):
    """A node that has answered, and cannot be asked anything more."""

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        raise RuntimeError(f"was not gathered, and the node is not asked again: {script[:80]}")


def script_of(plans: Mapping[str, ImagePlan], token: str) -> str:
    """A script that prints what the checks ask; `token` marks its sections. It changes nothing.

    Args:
        plans: By platform. Of several, each has a branch of its own, chosen on the node by its os-release.
    """
    scripts = {name: gather_script(Wanted.of(facts_of(plan)), token) for name, plan in plans.items()}
    if len(scripts) == 1:
        return next(iter(scripts.values()))
    lines = [". /etc/os-release", 'case "$ID:$VERSION_ID" in']
    for name, script in scripts.items():
        lines += [f"{PLATFORMS[name].os_id}:{PLATFORMS[name].os_version}*)", script.rstrip("\n"), ";;"]
    return "\n".join([*lines, "esac", ""])


def judge(plans: Mapping[str, ImagePlan], token: str, answers: Sequence[Answer]) -> list[Report | CouldNotCheckError]:
    """A report for each answer to `script_of`, or why there is none, in their order."""
    out: dict[str, Report | CouldNotCheckError] = {}
    known: dict[str, dict[str, Facts]] = defaultdict(dict)
    for each in answers:
        plan = plans.get(each.platform)
        try:
            if each.output is None:
                out[each.instance] = each.unproven(each.problem, "see it in Fleet Manager")
            elif plan is None:
                hint = f"tag it {TAG_PLATFORM}=..., one of {', '.join(plans)}"
                out[each.instance] = each.unproven("its platform is not known", hint)
            else:
                wanted = Wanted.of(facts_of(plan))
                known[each.platform][each.instance] = read_facts(wanted, each.output, token)
        except GatherError as error:
            out[each.instance] = each.unproven(str(error), "is its disk full? run again")
    texts = {each.instance: f"ssm://{each.instance}?region={each.region}" for each in answers}
    targets = {instance: Target(text=text, kind="ssm", name=instance) for instance, text in texts.items()}
    for platform, facts in known.items():
        started = datetime.now(UTC)
        for instance, found in _session(plans[platform], targets, facts).items():
            seconds = (datetime.now(UTC) - started).total_seconds()
            notes = ("gathered over SSM Run Command",)
            out[instance] = make_report(plans[platform], targets[instance], started, seconds, found, notes=notes)
    return [out[each.instance] for each in answers]


def _session(plan: ImagePlan, targets: Mapping[str, Target], known: Mapping[str, Facts]) -> dict[str, list[Result]]:
    run = secrets.token_hex(4)
    keys = {f"{run}-{number}": instance for number, instance in enumerate(known)}
    backends = {key: backend_over(_Gathered(targets[instance])) for key, instance in keys.items()}
    facts = {key: known[instance] for key, instance in keys.items()}
    with scratch("fleet") as folder:
        given = SessionInput(folder=folder, files=write_suite(plan, folder, hygiene=False), phase=NODE)
        found = run_session(given, backends, lambda: facts)
    return {instance: found.get(key, []) for key, instance in keys.items()}
