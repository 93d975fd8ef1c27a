"""In place of the checks of a node, which no instance of moto could pass: the node says how it is.

The way there and back is real: the script goes through SendCommand, is run by a shell, and its output comes home. What
the checks themselves are worth is shown by the tests of verifying.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from amigen.base.errors import CouldNotCheckError
from amigen.plan.model import ImagePlan
from amigen.publish.run_command import Answer
from amigen.verify.report import Outcome, Report, Result, verdict_of


def script_of(plans: Mapping[str, ImagePlan], token: str) -> str:
    return f'echo "{token} $NODE_HEALTH"\n'


def judge(plans: Mapping[str, ImagePlan], token: str, answers: Sequence[Answer]) -> list[Report | CouldNotCheckError]:
    """`healthy` passes; anything else fails one check."""
    out: dict[str, Report | CouldNotCheckError] = {}
    for each in answers:
        plan = plans.get(each.platform)
        if each.output is None or plan is None:
            out[each.instance] = each.unproven(each.problem or "its platform is not known", "see it in Fleet Manager")
            continue
        said, _, health = each.output.decode().strip().partition(" ")
        if said != token:
            out[each.instance] = CouldNotCheckError(f"{each.instance}: {said!r} is not what was asked")
            continue
        outcome: Outcome = "passed" if health == "healthy" else "failed"
        results = (Result(id="test_health[node]", phase="node", outcome=outcome, expected="healthy", found=health),)
        out[each.instance] = Report(
            spec=plan.spec.name,
            digest=plan.digest,
            platform=plan.platform,
            target=f"ssm://{each.instance}",
            kind="ssm",
            amigen="test",
            started=datetime.now(UTC).isoformat(),
            seconds=0,
            verdict=verdict_of(results),
            results=results,
        )
    return [out[each.instance] for each in answers]


def run_on_this_machine(health: str, commands: list[str]) -> tuple[int, str, str]:
    """What the SSM agent would do: hand the commands to a shell."""
    with tempfile.TemporaryDirectory() as place:
        # This machine was not booted by cloud-init; a real one's `status --wait` would wait for ever.
        cloud_init = Path(place) / "cloud-init"
        cloud_init.write_text("#!/bin/sh\necho 'status: done'\n")
        cloud_init.chmod(0o755)
        env = {"PATH": f"{place}:{os.environ['PATH']}", "NODE_HEALTH": health}
        done = subprocess.run(["sh", "-c", "\n".join(commands)], env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def use() -> None:
    """Put it in place."""
    from amigen.publish import proof

    proof.script_of, proof.judge = script_of, judge
