"""What a changed file has in place of what amigen wrote: a diff, for a person who would have to compare two digests."""

from __future__ import annotations

import difflib
import re

from msgspec import structs

from amigen.base.errors import CouldNotCheckError
from amigen.checks.file import FileCheck
from amigen.checks.model import WriteFile
from amigen.connections.model import Connection
from amigen.facts import Facts, GatherError, Wanted, gather
from amigen.plan.model import ImagePlan
from amigen.verify.report import Result

# Larger ones are not compared: a report is read.
_LARGEST = 64 << 10
_LINES = 200
_READABLE_BY_ALL = 0o004
_DIGEST = re.compile(r", sha256 [0-9a-f]{64}")


def with_diffs(plan: ImagePlan, connection: Connection, facts: Facts, results: list[Result]) -> list[Result]:
    """The results, those of changed files with a diff; files that not everybody may read stay unseen."""
    changed = {
        check.path
        for check in plan.checks
        if isinstance(check, FileCheck)
        and (file := facts.files.get(check.path)) is not None
        and file.sha256 not in ("", check.sha256)
        and file.size <= _LARGEST
        and int(check.mode, 8) & int(file.mode, 8) & _READABLE_BY_ALL
    }
    if not changed:
        return results
    try:
        found = gather(connection, Wanted(texts=tuple(sorted(changed)))).texts
    except (CouldNotCheckError, GatherError):
        return results
    diffs = {f"{FileCheck.test}[{f.path}]": _diff(f, found[f.path]) for f in plan.files if f.path in found}
    return [
        _with_diff(each, diffs[each.id]) if each.outcome == "failed" and diffs.get(each.id) else each
        for each in results
    ]


def _with_diff(result: Result, diff: str) -> Result:
    """The result with a diff in place of the two digests."""
    expected, found = (_DIGEST.sub("", text) for text in (result.expected, result.found))
    return structs.replace(result, expected=expected, found=found, diff=diff)


def _diff(file: WriteFile, found: str) -> str:
    """Unified, from what amigen wrote to what is there; empty for what is no text."""
    try:
        wanted = file.content.decode()
    except UnicodeDecodeError:
        return ""
    if "\0" in found:
        return ""
    old, new = wanted.splitlines(), found.splitlines()
    lines = [*difflib.unified_diff(old, new, "as amigen wrote it", "on the target", lineterm="")]
    more = [f"... and {len(lines) - _LINES} lines more"] if len(lines) > _LINES else []
    return "\n".join([*lines[:_LINES], *more])
