"""Nodes proven from afar: one script gathers what the checks ask, and the checks are run here on its output.

They are the checks of `amigen verify`, run the same way; only the facts come another way.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from amigen.base.errors import CouldNotCheckError
from amigen.connections.model import Connection, Target
from amigen.facts import Facts, GatherError, Wanted, gather_script, read_facts
from amigen.plan.model import ImagePlan
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


def script_of(plan: ImagePlan, token: str) -> str:
    """A script that prints what the checks of a plan ask; `token` marks its sections. It changes nothing."""
    return gather_script(Wanted.of(facts_of(plan)), token)


def judge(plan: ImagePlan, token: str, answers: Sequence[Answer]) -> dict[str, Report | CouldNotCheckError]:
    """Instance -> report, or why there is none, of what `script_of` printed there."""
    wanted = Wanted.of(facts_of(plan))
    known: dict[str, Facts] = {}
    out: dict[str, Report | CouldNotCheckError] = {}
    targets: dict[str, Target] = {}
    for each in answers:
        text = f"ssm://{each.instance}?region={each.region}"
        targets[each.instance] = Target(text=text, kind="ssm", name=each.instance)
        try:
            if each.output is None:
                out[each.instance] = each.unproven(each.problem, "see it in Fleet Manager")
            else:
                known[each.instance] = read_facts(wanted, each.output, token)
        except GatherError as error:
            out[each.instance] = each.unproven(str(error), "is its disk full? run again")
    started = datetime.now(UTC)
    for instance, found in _session(plan, targets, known).items() if known else ():
        seconds = (datetime.now(UTC) - started).total_seconds()
        notes = ("gathered over SSM Run Command",)
        out[instance] = make_report(plan, targets[instance], started, seconds, found, notes=notes)
    return out


def _session(plan: ImagePlan, targets: Mapping[str, Target], known: Mapping[str, Facts]) -> dict[str, list[Result]]:
    run = secrets.token_hex(4)
    keys = {f"{run}-{number}": instance for number, instance in enumerate(known)}
    backends = {key: backend_over(_Gathered(targets[instance])) for key, instance in keys.items()}
    facts = {key: known[instance] for key, instance in keys.items()}
    with scratch("fleet") as folder:
        given = SessionInput(folder=folder, files=write_suite(plan, folder, hygiene=False), phase=NODE)
        found = run_session(given, backends, lambda: facts)
    return {instance: found.get(key, []) for key, instance in keys.items()}
