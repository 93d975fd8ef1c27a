"""The difference between two versions of a launch template, for a person: by field, user data by line."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterator
from typing import Any

from amigen.userdata.document import parse

# What looks like a secret in somebody else's user data does not belong into a log.
_SECRET = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|credential|private[_-]?key)[\w.-]*[\"']?\s*[=:]\s*|authorization:\s*\w+\s+)"
    r"([\"']?)[^\s\"']+\2"
)
_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


def difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """Lines that start with `+`, `-` or `~` for added, removed and changed; empty where the two are the same."""
    lines: list[str] = []
    before, after = dict(_flat(old, "")), dict(_flat(new, ""))
    for path in sorted(before.keys() | after.keys()):
        if path == "UserData" or before.get(path) == after.get(path):
            continue
        if path not in after:
            lines.append(f"- {path}: {before[path]}")
        elif path not in before:
            lines.append(f"+ {path}: {after[path]}")
        else:
            lines.append(f"~ {path}: {before[path]} -> {after[path]}")
    lines += user_data_difference(old.get("UserData", ""), new.get("UserData", ""))
    return tuple(lines)


def user_data_difference(old: str, new: str) -> list[str]:
    """A unified diff of decoded user data; says so where only its packing differs."""
    if old == new:
        return []
    before, after = readable(old), readable(new)
    if before == after:
        return ["~ UserData: packed differently, the content is the same"]
    lines = list(difflib.unified_diff(before, after, "UserData now", "UserData then", lineterm="", n=2))
    return ["~ UserData:", *(f"    {hide_secrets(line)}" for line in lines)]


def readable(user_data: str) -> list[str]:
    """The lines of user data as it was written: base64, gzip and MIME taken off, each part under a line of its own."""
    if not user_data:
        return []
    try:
        raw = base64.b64decode(user_data, validate=True)
    except binascii.Error:
        return [f"(not base64: {len(user_data)} characters)"]
    document = parse(raw)
    if not document.parts:
        return [f"({len(raw)} bytes that cannot be read: {document.problems[0].message if document.problems else ''})"]
    lines: list[str] = []
    for part in document.parts:
        if len(document.parts) > 1 or document.type.startswith("multipart/"):
            lines.append(f"== {part.type}{f' {part.filename}' if part.filename else ''}")
        lines += part.content.decode("utf-8", "replace").splitlines()
    return lines


def hide_secrets(line: str) -> str:
    """The line without what looks like a secret."""
    return _ACCESS_KEY.sub("(hidden)", _SECRET.sub(r"\1(hidden)", line))


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """`a.b[key]` -> text; lists of named things are told apart by their name, not by their place."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if isinstance(each, dict) and set(each) == {"Key", "Value"}:
                yield f"{path}[{each['Key']}]", str(each["Value"])
                continue
            name = index
            if isinstance(each, dict):
                name = each.get("DeviceName") or each.get("ResourceType") or index
                each = {k: v for k, v in each.items() if k not in ("DeviceName", "ResourceType")}
            yield from _flat(each, f"{path}[{name}]")
    else:
        yield path, hide_secrets(str(value))
