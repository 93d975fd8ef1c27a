"""One failure, one exception class, one exit code.

Everything that a user can cause raises an `AmigenError`; `amigen.cli.main` catches it once, prints it to stderr and
exits with its code. A message says what happened, where, and what to do; it never holds a secret.
"""

from __future__ import annotations

import errno
import re
from typing import ClassVar, Literal

from msgspec import Struct

from amigen.base.words import counted


def plain(text: str, keep: str = "") -> str:
    """The text with control and invisible characters escaped, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


_USER_OF_URL = re.compile(r"(?<=://)[^/\s@'\"]*(?=@)")


def masked(text: str) -> str:
    """The text with user and password of URLs replaced by as many asterisks."""
    return _USER_OF_URL.sub(lambda match: "*" * len(match[0]), text)


class AmigenError(Exception):
    """Base of all failures that amigen explains.

    Args:
        message: What happened and where, one sentence, no trailing full stop needed.
        hint: What to do about it; empty when there is nothing to add.

    Attributes:
        parts: (place, failure) where this one sums up several; empty otherwise.
    """

    exit_code: ClassVar[int] = 1
    parts: tuple[tuple[str, AmigenError], ...] = ()

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    @classmethod
    def kind(cls) -> type[AmigenError]:
        """The nearest class that is made of a message and a hint alone: for the same failure in other words."""
        return next(c for c in cls.__mro__ if issubclass(c, AmigenError) and c.__init__ is AmigenError.__init__)


class Problem(Struct, frozen=True, kw_only=True):
    """One finding about an input, with its place.

    Attributes:
        severity: `error` stops; `warning` and `note` are shown and do not.
        path: Key path in the document, such as `kubeProxy.ipvs.scheduler` or `packages[2].name`; empty for the whole.
        line: Line in the file, from 1; 0 if unknown.
        message: What is wrong.
        hint: What is allowed, or the nearest known name; may be empty.
        source: Where the rule comes from (a KEP, a manual); may be empty.
    """

    severity: Literal["error", "warning", "note"] = "error"
    path: str = ""
    line: int = 0
    column: int = 0
    message: str
    hint: str = ""
    source: str = ""

    def text(self, file: str) -> str:
        """`file:line:column: severity: path: message (hint) [source]`, the form that editors and CI jump to."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        parts = [f"{place}: {self.severity}: "]
        if self.path:
            parts.append(f"{self.path}: ")
        parts.append(self.message)
        if self.hint:
            parts.append(f"; {self.hint}")
        if self.source:
            parts.append(f" [{self.source}]")
        return plain("".join(parts))


def system_words(error: OSError) -> str:
    """A full disk, a missing right: the system's own words with the file. Only stdout has no name."""
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return f"cannot write to stdout: {error.strerror}"
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


class SpecError(AmigenError):
    """A spec that cannot be used: all its problems at once."""

    exit_code = 3

    def __init__(self, file: str, problems: tuple[Problem, ...], content: bytes = b"") -> None:
        self.file = file
        self.problems = problems
        self.content = content
        errors = sum(p.severity == "error" for p in problems)
        warnings = sum(p.severity == "warning" for p in problems)
        found = counted(errors, "error")
        if not errors:
            found = f"{counted(warnings, 'warning')}, treated as {'an error' if warnings == 1 else 'errors'}"
        self.ending = f"{file}: {found}; nothing was done"
        super().__init__("\n".join([*(p.text(file) for p in problems), self.ending]))


class DiffersError(AmigenError):
    """The rendered files or deployed resources differ from the spec (`render --check`, drift)."""

    exit_code = 4


class ConflictError(AmigenError):
    """A conflicting change: a file edited by hand, or a concurrent change by another person."""

    exit_code = 5


class ChecksFailedError(AmigenError):
    """Verification ran and at least one check failed."""

    exit_code = 6


class CouldNotCheckError(AmigenError):
    """Verification could not run, or could not prove what it should: no verdict either way."""

    exit_code = 7


class BuildError(AmigenError):
    """An image build that failed; nothing of it was kept."""

    exit_code = 8


class ToolError(AmigenError):
    """A program that amigen needs is missing or does not work on this machine."""

    exit_code = 9


class AwsError(AmigenError):
    """An AWS call that failed: names the call, the resource and the way out."""

    exit_code = 10


class KubernetesError(AmigenError):
    """A Kubernetes API call that failed, or a rollout that did not get healthy."""

    exit_code = 11


class SizeError(AmigenError):
    """User data that is larger than EC2 takes; lists the sizes by part."""

    exit_code = 12


class RefusedError(AmigenError):
    """amigen could do this, and it would do harm; says why and how to do it on purpose."""

    exit_code = 13


class InputError(AmigenError):
    """A file, an option or other input than a spec that cannot be used."""

    exit_code = 14
