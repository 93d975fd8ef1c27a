"""Messages of failed checks: what was expected, what was found, what to do; and how a report reads them back."""

from __future__ import annotations

from typing import NoReturn

import pytest

NOT_PROVABLE = "not provable here: "
_EXPECTED, _FOUND, _TODO = "expected: ", "found:    ", "to do:    "
_INDENT = " " * len(_EXPECTED)


def explain(*, expected: object, found: object, todo: object = "") -> str:
    """The message of an assertion.

    Lines of a text of several lines are indented, so that what a target printed cannot pass for a part of ours.
    """
    parts = [_EXPECTED + _indented(expected), _FOUND + _indented(found)]
    if todo:
        parts.append(_TODO + _indented(todo))
    return "\n".join(parts)


def not_provable(reason: str) -> NoReturn:
    """Skip the test: this target cannot prove it. A report never counts that as passed."""
    pytest.skip(NOT_PROVABLE + reason)


def read_explanation(message: str) -> tuple[str, str, str]:
    """Expected, found and to do of a message that `explain` made; any other text is what was found."""
    parts: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in message.split("\n"):
        label = next((label for label in (_EXPECTED, _FOUND, _TODO) if line.startswith(label)), None)
        if label is not None and label not in parts:
            current = parts.setdefault(label, [])
            current.append(line[len(label) :])
        elif current is not None and line.startswith(_INDENT):
            current.append(line[len(_INDENT) :])
        else:
            current = None
    if _EXPECTED not in parts or _FOUND not in parts:
        return "", message, ""
    expected, found, todo = ("\n".join(parts.get(label, ())) for label in (_EXPECTED, _FOUND, _TODO))
    return expected, found, todo


def _indented(text: object) -> str:
    return ("\n" + _INDENT).join(str(text).splitlines() or [""])
