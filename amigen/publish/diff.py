"""The difference between two versions of a launch template, for a person: by field, user data by line."""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Iterator
from typing import Any

from amigen.publish.hiding import HIDDEN, hide_in, hide_secrets, is_secret_name
from amigen.userdata.document import parse


def difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """Lines that start with `+`, `-` or `~` for added, removed and changed; empty where the two are the same."""
    lines: list[str] = []
    before, after = dict(_flat(old, "")), dict(_flat(new, ""))
    for path in sorted(before.keys() | after.keys()):
        if path == "UserData" or before.get(path) == after.get(path):
            continue
        old_text, new_text = (_shown(path, values[path]) if path in values else "" for values in (before, after))
        if path not in after:
            lines.append(f"- {path}: {old_text}")
        elif path not in before:
            lines.append(f"+ {path}: {new_text}")
        else:
            lines.append(f"~ {path}: {old_text} -> {new_text}")
    if (had := old.get("UserData", "")) != (has := new.get("UserData", "")):
        if readable(had) == readable(has):
            lines.append("~ UserData: packed differently, the content is the same")
        else:
            lines += ["~ UserData:", *(f"    {line}" for line in _unified(readable(had), readable(has)))]
    return tuple(lines)


def _unified(before: list[str], after: list[str]) -> Iterator[str]:
    """A unified diff of what is there, that shows what may be shown: a secret that has changed is a change."""
    old, new = hide_in(before), hide_in(after)
    yield from ("--- UserData now", "+++ UserData then")
    for group in difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(2):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        for kind, old_begin, old_end, new_begin, new_end in group:
            if kind == "equal":
                yield from (f" {line}" for line in old[old_begin:old_end])
                continue
            yield from (f"-{line}" for line in old[old_begin:old_end])
            yield from (f"+{line}" for line in new[new_begin:new_end])


def _range(begin: int, end: int) -> str:
    """Lines as diff counts them: from 1, and the line before where there are none."""
    count = end - begin
    return f"{begin + 1}" if count == 1 else f"{begin + 1 if count else begin},{count}"


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


def _shown(path: str, value: str) -> str:
    """A value as it may be shown; the last part of its path may be the name of a secret."""
    name = path.rstrip("]").rpartition("[")[2] if path.endswith("]") else path.rpartition(".")[2]
    return HIDDEN if is_secret_name(name) else hide_secrets(value)


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
        yield path, str(value)
