"""What came of a test: from pytest's exceptions to the outcomes of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from amigen.base.errors import CouldNotCheckError
from amigen.testing.explain import NOT_PROVABLE
from amigen.verify.report import Outcome

# What a test may raise when it could not look; all else that it raises says that what it looked at is wrong.
_COULD_NOT = (RuntimeError, OSError, TimeoutError, CouldNotCheckError)


def called(what: Callable[[], object], when: Literal["setup", "call", "teardown"]) -> pytest.CallInfo[object]:
    """Call a hook as pytest does; only Ctrl-C and `pytest.exit` get through."""
    return pytest.CallInfo.from_call(what, when=when, reraise=(pytest.exit.Exception, KeyboardInterrupt))


def outcome_of_ours(call: pytest.CallInfo[object]) -> tuple[Outcome, str]:
    """Of a rendered test: it passes, fails, or skips itself; there is nothing else in it."""
    error = call.excinfo.value if call.excinfo else None
    if error is None:
        return "passed", ""
    if isinstance(error, pytest.skip.Exception):
        return _skipped(str(error))
    return _failed(error, in_call=call.when == "call")


def outcome_of(call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[Outcome, str]:
    """Of any test of pytest; skipping and expected failures are as pytest sees them."""
    if report.passed:
        return "passed", ""
    error = call.excinfo.value if call.excinfo else None
    if report.skipped:
        return _skipped(str(error))
    return _failed(error, in_call=report.when == "call")


def _skipped(text: str) -> tuple[Outcome, str]:
    if text.startswith(NOT_PROVABLE):
        return "not provable", text.removeprefix(NOT_PROVABLE)
    return "skipped", text


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
