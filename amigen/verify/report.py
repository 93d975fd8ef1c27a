"""The report of a verification: plain values, with a JSON Schema, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.connections.model import Kind

SCHEMA = "amigen/verify/v1"
# The id of the one result of a target that could not be asked.
REACHED = "reached"

Outcome = Literal["passed", "failed", "not provable", "error", "skipped"]
Verdict = Literal["proven", "failed", "unproven"]


class Result(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One check.

    Attributes:
        id: The check's name, as in the plan: `test_package[ipvsadm]`; of a test of the user's, `FILE::test[...]`.
        phase: When it was looked at, such as `first boot`.
        outcome: `not provable`: this target cannot prove it; `error`: it could not be looked at; `skipped`: a test of
            the user's that skipped itself.
        expected, found, todo: Of what did not pass: what was expected and found, and what to do.
        diff: Of a changed file, from what amigen wrote to what is there.
        required: False for what this target need not prove.
        seconds: How long it took, without the gathering.
        own: True for a test of the user's.
        step: The plan's step that the check proves; empty where it proves none.
    """

    id: str
    phase: str
    outcome: Outcome
    expected: str = ""
    found: str = ""
    todo: str = ""
    diff: str = ""
    required: bool = True
    seconds: float = 0.0
    own: bool = False
    step: str = ""

    @property
    def explanation(self) -> list[tuple[str, str]]:
        """Label and text of what there is to say."""
        said = (("expected", self.expected), ("found", self.found), ("diff", self.diff), ("to do", self.todo))
        return [(label, text) for label, text in said if text]


class Cause(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why checks failed.

    Attributes:
        text: One sentence.
        todo: What to do; it holds in place of what the checks that follow from this cause say.
        checks: Ids of the failed checks that are this cause; empty where the target itself named it.
    """

    text: str
    todo: str = ""
    checks: tuple[str, ...] = ()


class Phase(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the verification and the seconds that it took."""

    name: str
    seconds: float


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was proved of a target.

    Attributes:
        spec, digest, platform: What it was to be.
        target: As it was named.
        started: RFC 3339, UTC.
        seconds: Wall time of all of it.
        causes: Why checks failed, the most likely first.
        verdict: `proven`: all that is required; `failed`: a check failed; `unproven`: none failed, and something that
            is required could not be proved, or nothing was looked at.
        machine: Its system, kernel and image; empty where it did not answer.
        notes: What else is worth knowing, such as how the VM was run.
    """

    schema: str = SCHEMA
    spec: str
    digest: str
    platform: str
    target: str
    kind: Kind
    amigen: str
    started: str
    seconds: float
    verdict: Verdict
    results: tuple[Result, ...]
    phases: tuple[Phase, ...] = ()
    notes: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    machine: str = ""

    def count(self, outcome: Outcome) -> int:
        """How many results have this outcome."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def summary(self) -> str:
        """One line: `61 passed, 1 failed, 2 not provable here`."""
        words: tuple[tuple[Outcome, str], ...] = (
            ("passed", "passed"),
            ("failed", "failed"),
            ("error", "could not be checked"),
            ("not provable", "not provable here"),
            ("skipped", "skipped"),
        )
        counted = [(self.count(outcome), word) for outcome, word in words]
        return ", ".join(f"{n} {word}" for n, word in counted if n) or "nothing was checked"

    def error(self) -> AmigenError | None:
        """The error that the verdict amounts to; None where all is proven."""
        if self.verdict == "proven":
            return None
        if self.verdict == "failed":
            first = next(result for result in self.results if result.outcome == "failed")
            found = f"{first.id} ({first.phase}): {one_line(first.found)}"
            cause = self.causes[0] if self.causes else Cause(text=found, todo=one_line(first.todo))
            return ChecksFailedError(f"{self.target}: {cause.text} ({self.summary})", cause.todo)
        bad = [r for r in self.results if r.outcome in ("error", "not provable") and r.required]
        why = one_line(bad[0].found) if bad else "no check was run"
        if bad and bad[0].id == REACHED:
            return CouldNotCheckError(f"{self.target}: {why}", one_line(bad[0].todo))
        hint = "verify a booted machine for a full proof, or accept what this target can prove with --allow-unproven"
        return CouldNotCheckError(f"{self.target}: not all is proven: {self.summary}; {why}", hint)


def verdict_of(results: tuple[Result, ...]) -> Verdict:
    """What the results amount to."""
    if any(result.outcome == "failed" for result in results):
        return "failed"
    unproven = any(result.outcome in ("error", "not provable") and result.required for result in results)
    proved = any(result.outcome == "passed" for result in results)
    return "proven" if proved and not unproven else "unproven"


def alike(results: Iterable[Result]) -> list[list[Result]]:
    """Results of one kind that found the same, together: twelve modules that one broken file explains are one thing."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault((result.id.partition("[")[0], result.found, result.todo, result.diff), []).append(result)
    return list(groups.values())


def one_line(text: str) -> str:
    """A text of several lines in one."""
    return " ".join(text.split())


class Reports(Struct, frozen=True, kw_only=True):
    """The reports of several targets, in the order in which they were named."""

    reports: tuple[Report, ...]


def document(reports: tuple[Report, ...]) -> Report | Reports:
    """One report is a document; several are a list of them under `reports`."""
    return reports[0] if len(reports) == 1 else Reports(reports=reports)
