"""What came of a test: from pytest's exceptions to the outcomes of a report."""

from __future__ import annotations

import pytest

from amigen.base.errors import CouldNotCheckError
from amigen.testing.explain import NOT_PROVABLE
from amigen.verify.report import Outcome

# What a test may raise when it could not look; all else that it raises says that what it looked at is wrong.
_COULD_NOT = (RuntimeError, OSError, TimeoutError, CouldNotCheckError)


def outcome_of(call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[Outcome, str]:
    """Of a test; skipping and expected failures are as pytest sees them."""
    if report.passed:
        return "passed", ""
    error = call.excinfo.value if call.excinfo else None
    if report.skipped:
        text = str(error)
        not_provable = text.startswith(NOT_PROVABLE)
        return ("not provable", text.removeprefix(NOT_PROVABLE)) if not_provable else ("skipped", text)
    return _failed(error, in_call=report.when == "call")


def _failed(error: BaseException | None, *, in_call: bool) -> tuple[Outcome, str]:
    text = str(error)
    # pytest appends what it knows of the values to the message of an assertion.
    if isinstance(error, AssertionError):
        return ("failed" if in_call else "error"), _message(error)
    if isinstance(error, pytest.fail.Exception) and in_call:
        return "failed", text
    said = f"{type(error).__name__}: {text}"
    return ("error" if isinstance(error, _COULD_NOT) or not in_call else "failed"), said


def _message(error: AssertionError) -> str:
    text = str(error)
    if not text.startswith("expected: "):
        return text or "an assertion without a message"
    # Where pytest rewrites assertions, it moves the further lines of a message to the right.
    text = text.partition("\nassert ")[0]
    return text.replace("\n  ", "\n") if "\n  found:    " in text else text


def last_words(text: str) -> str:
    """What a traceback of pytest says in the end: the lines that it marks with `E`."""
    return "\n".join(line[1:].strip() for line in text.split("\n") if line.startswith("E ")) or text
