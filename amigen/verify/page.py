"""A report as one HTML file without anything from elsewhere: it can be mailed, kept, and opened offline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from amigen.verify.report import Outcome, Report, Result, alike

ORDER: tuple[Outcome, ...] = ("failed", "error", "not provable", "skipped", "passed")


def page(reports: Sequence[Report]) -> bytes:
    """The page of one or more reports."""
    numbered = list(enumerate(reports, 1))
    # Failed targets first, then those that are not proven.
    overview = sorted(numbered, key=lambda each: ("failed", "unproven", "proven").index(each[1].verdict))
    context = {"reports": numbered, "overview": overview, "groups": _groups, "alike": alike, "anchor": _anchor}
    return _template().render(**context).encode("utf-8", "replace")


def _anchor(number: int, report: Report, result: Result) -> str:
    """The id of a check in the page; it stays the same when the page is made again of the same reports."""
    return f"target-{number}-{report.results.index(result) + 1}"


def _groups(report: Report) -> list[tuple[str, list[tuple[Outcome, list[Result]]]]]:
    """Phase -> outcome -> results, what failed first."""
    phases = dict.fromkeys(result.phase for result in report.results)
    return [
        (
            phase,
            [(o, rows) for o in ORDER if (rows := [r for r in report.results if (r.phase, r.outcome) == (phase, o)])],
        )
        for phase in phases
    ]


@cache
def _template() -> Template:
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template("page.html.jinja")
