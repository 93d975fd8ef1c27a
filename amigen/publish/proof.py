"""Nodes proven from afar: one script gathers what the checks ask, and the checks themselves are run here on its output.

They are the same checks, run the same way, as those of `amigen verify`; only the way of the facts is another.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testinfra.backend.base import BaseBackend

from amigen.base.errors import CouldNotCheckError
from amigen.connections.model import Target
from amigen.facts import Facts, GatherError, Wanted, gather_script, read_facts
from amigen.plan.model import ImagePlan
from amigen.render.suite import facts_of, suite_files
from amigen.verify.report import Report, Result
from amigen.verify.run import make_report
from amigen.verify.session import SessionInput, run_session


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What the script printed on one node."""

    instance: str
    region: str
    output: bytes


class SuiteProof:
    """Gathers and judges, by the rendered suite."""

    def script(self, plan: ImagePlan, token: str) -> str:
        """A script that prints what the checks of a plan ask; `token` marks its sections. It changes nothing."""
        return gather_script(Wanted.of(facts_of(plan)), token)

    def judge(self, plan: ImagePlan, token: str, gathered: list[Gathered]) -> dict[str, Report | CouldNotCheckError]:
        """Instance -> report, or why there is none."""
        wanted = Wanted.of(facts_of(plan))
        known: dict[str, Facts] = {}
        out: dict[str, Report | CouldNotCheckError] = {}
        for each in gathered:
            try:
                known[each.instance] = read_facts(wanted, each.output, token)
            except GatherError as error:
                out[each.instance] = CouldNotCheckError(f"{each.instance}: {error}", "is its disk full? run again")
        started = datetime.now(UTC)
        results = _session(plan, known) if known else {}
        regions = {each.instance: each.region for each in gathered}
        for instance, found in results.items():
            target = Target(text=f"ssm://{instance}?region={regions[instance]}", kind="ssm")
            seconds = (datetime.now(UTC) - started).total_seconds()
            notes = ("gathered over SSM Run Command",)
            out[instance] = make_report(plan, target, started, seconds, found, notes=notes)
        return out


def _session(plan: ImagePlan, known: Mapping[str, Facts]) -> dict[str, list[Result]]:
    run = secrets.token_hex(4)
    keys = {f"{run}-{number}": instance for number, instance in enumerate(known)}
    backends: Any = {key: silent_backend(instance) for key, instance in keys.items()}
    facts = {key: known[instance] for key, instance in keys.items()}
    with tempfile.TemporaryDirectory(prefix="amigen-fleet-") as place:
        text = next(text for name, text in suite_files(plan).items() if Path(name).name == "test_node.py")
        file = Path(place) / "test_node.py"
        file.write_text(text, encoding="utf-8")
        found = run_session(SessionInput(folder=Path(place), files=(file,), phase="node"), backends, lambda: facts)
    return {instance: list(found.get(key, ())) for key, instance in keys.items()}


def silent_backend(instance: str) -> Any:
    """A testinfra backend of a node that cannot be asked anything more."""

    class SilentBackend(BaseBackend):  # type: ignore[misc,unused-ignore]
        NAME = "ssm-run-command"

        def get_pytest_id(self) -> str:
            return instance

        def run(self, command: str, *args: str, **kwargs: Any) -> Any:
            raise RuntimeError(f"was not gathered, and the node is not asked again: {command[:80]}")

    return SilentBackend(instance)
