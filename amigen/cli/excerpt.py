"""Findings with the line of the file that they are about, and a caret below it, as compilers show them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

import click

from amigen.base.errors import Problem, masked, plain

_WIDTH = 110
_COLORS = {"error": "red", "warning": "yellow", "note": "cyan"}


def show(problems: Iterable[Problem], file: str, content: bytes, *, err: bool = True) -> None:
    """Print all findings of a file, a line each and the place in the file below it.

    A terminal gets colors, unless NO_COLOR is set; FORCE_COLOR gives them to all.

    Args:
        file: Its name, as editors and CI jump to it.
        content: Of the file; empty where it is not known.
        err: On stderr.
    """
    lines = content.decode("utf-8", "replace").splitlines()
    colored = _is_colored(sys.stderr if err else sys.stdout)
    for problem in problems:
        for line in _shown(problem, file, lines):
            # Without colors it takes them out.
            click.echo(line, err=err, color=colored)


def _is_colored(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _shown(problem: Problem, file: str, lines: list[str]) -> Iterator[str]:
    color = _COLORS[problem.severity]
    head, _, rest = problem.text(file).partition(f": {problem.severity}: ")
    yield f"{click.style(head, bold=True)}: {click.style(problem.severity, fg=color, bold=True)}: {rest}"
    if not 0 < problem.line <= len(lines):
        return
    line = masked(lines[problem.line - 1])
    at = min(max(problem.column, 1) - 1, len(line))
    start = max(0, at - _WIDTH // 2) if len(line) > _WIDTH else 0
    before, after = plain(line[start:at]), plain(line[at : start + _WIDTH])
    marked = re.match(r"\"[^\"]*\"|'[^']*'|[^\s,\]}:]+", after)
    carets = "^" * max(1, len(marked[0]) if marked else 1)
    number = str(problem.line)
    margin = " " * len(number)
    yield f"{margin} |"
    yield f"{number} | {before}{after}"
    yield f"{margin} | {' ' * len(before)}{click.style(carets, fg=color, bold=True)}"
