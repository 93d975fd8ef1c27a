"""A finding about user data: which program reads it so."""

from __future__ import annotations

from functools import partial
from typing import Literal

from amigen.base.errors import Problem

Reader = Literal["nodeadm", "karpenter", "eksctl", "cloud-init", "ec2", "kubelet", ""]


class Finding(Problem, frozen=True, kw_only=True):
    """A problem and the program that has it.

    Attributes:
        reader: The program that refuses, ignores or changes what the message says; empty for advice of amigen's.
        rule: A short name that stays, for programs.
    """

    reader: Reader = ""
    rule: str = ""


def _finding(
    severity: Literal["error", "warning", "note"],
    reader: Reader,
    rule: str,
    message: str,
    hint: str = "",
    source: str = "",
    line: int = 0,
) -> Finding:
    return Finding(severity=severity, reader=reader, rule=rule, message=message, hint=hint, source=source, line=line)


error = partial(_finding, "error")
warning = partial(_finding, "warning")
note = partial(_finding, "note")


def by(reader: Reader, problem: Problem, *, where: str = "", rule: str = "") -> Finding:
    """The problem as a finding of this reader, with the place before its message."""
    return Finding(
        severity=problem.severity,
        line=problem.line,
        message=f"{where}: {problem.message}" if where else problem.message,
        hint=problem.hint,
        source=problem.source,
        reader=reader,
        rule=rule,
    )
