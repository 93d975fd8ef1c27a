"""Reports for a person: what failed and what to do first, then the rest in one line per kind of check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from amigen.base.words import shortened
from amigen.verify.report import Outcome, Report, Result, alike, one_line

SIGNS: dict[Outcome, tuple[str, str]] = {
    "failed": ("FAILED", "bold red"),
    "error": ("NOT CHECKED", "bold magenta"),
    "not provable": ("not provable", "yellow"),
    "skipped": ("skipped", "dim"),
    "passed": ("passed", "green"),
}
_VERDICTS = {"proven": "bold green", "failed": "bold red", "unproven": "bold yellow"}
# Subjects of one kind that stand in a line before it says how many more there are.
_SHOWN = 12


def print_reports(reports: Sequence[Report], console: Console, *, every: bool = False) -> None:
    """Print reports; `every` gives each check that passed a line of its own.

    Targets with the same results share one table, and have a line each: of fifty nodes, one is read, and those that
    differ.
    """
    groups: dict[tuple[object, ...], list[Report]] = {}
    for report in reports:
        results = (structs.replace(result, seconds=0.0) for result in report.results)
        groups.setdefault((report.spec, report.platform, report.machine, report.notes, *results), []).append(report)
    for group in groups.values():
        _print_group(group, console, every=every)


def _print_group(reports: Sequence[Report], console: Console, *, every: bool) -> None:
    for cause in reports[0].causes:
        console.print(Text(f"cause: {cause.text}", style="bold red"))
        if cause.todo:
            console.print(Text(f"to do: {cause.todo}"))
    with console.capture() as captured:
        console.print(_table(reports[0], every=every))
    # rich fills up lines; in a log that is noise.
    console.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))
    for note in (*filter(None, [reports[0].machine]), *reports[0].notes):
        console.print(f"[dim]{escape(note)}[/dim]")
    for report in reports:
        line = Text.assemble((report.verdict.upper(), _VERDICTS[report.verdict]), f"  {report.summary}")
        line.append(f"  ({report.spec} {report.platform} on {report.target}, {report.seconds:.1f} s)", style="dim")
        console.print(line)


def _table(report: Report, *, every: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    phases = list(dict.fromkeys(result.phase for result in report.results))
    # The causes stand above; what follows from them is one line each.
    explain = every or not report.causes
    for phase in phases:
        if len(phases) > 1:
            table.add_row("", Text(phase, style="bold underline"))
        own = [result for result in report.results if result.phase == phase]
        for outcome in SIGNS:
            for row in _rows(outcome, [r for r in own if r.outcome == outcome], every=every, explain=explain):
                table.add_row(Text(*SIGNS[outcome]), row)
    return table


def _rows(outcome: Outcome, results: Sequence[Result], *, every: bool, explain: bool) -> Iterable[RenderableType]:
    if outcome == "error" or (outcome == "failed" and explain):
        return [_explained(group) for group in alike(results)]
    groups: dict[tuple[str, str], list[str]] = {}
    for number, result in enumerate(results):
        test, bracket, subject = result.id.partition("[")
        key = (f"{number}" if every else test, one_line(result.found))
        groups.setdefault(key, []).append(subject.removesuffix("]") if bracket and not every else result.id)
    return [_grouped(test if not every else "", reason, subjects) for (test, reason), subjects in groups.items()]


def _grouped(test: str, reason: str, subjects: list[str]) -> Text:
    text = Text(f"{test} " if test and subjects != [test] else "")
    text.append(shortened(subjects, _SHOWN, " "), style="dim" if test else "")
    if reason:
        text.append(f": {reason}", style="yellow")
    return text


def _explained(results: list[Result]) -> RenderableType:
    """A failure; several that say the same are one, with all their names."""
    first = results[0]
    grid = Table.grid(padding=(0, 1, 0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    more = f" (and so for {len(results) - 1} more)" if len(results) > 1 else ""
    for label, text in first.explanation:
        grid.add_row(label, Text(text + more if label == "expected" else text))
    return Group(Text(" ".join(result.id for result in results), style="bold"), grid)
