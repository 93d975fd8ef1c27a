"""Repair what is plainly meant in existing user data before it is merged, and say what was done."""

from __future__ import annotations

import re

from msgspec.structs import replace

from amigen.base.errors import InputError, Problem
from amigen.userdata import gomime, mime
from amigen.userdata.document import Document, parse
from amigen.userdata.mime import Part

# A repair may uncover the next fault; more of one kind than this are no slip.
_MOST = 50


def repair(existing: bytes) -> tuple[tuple[Part, ...], list[Problem]]:
    """The parts of existing user data, and a note for each kind of repair.

    Raises:
        InputError: Something in it cannot be repaired; names what and where.
    """
    document = parse(existing)
    notes: list[str] = []
    if document.content.startswith(mime.BOM):
        document = parse(document.content.removeprefix(mime.BOM))
        notes.append("removed the byte order mark (BOM) at the beginning of the user data")
    if document.type == mime.MULTIPART:
        document = _multipart(document, notes)
    parts = tuple(_script(part, number, notes) for number, part in enumerate(document.parts, 1))
    # Parts are written anew, in base64 or packed where they are not ASCII.
    errors = [p for p in document.problems if p.severity == "error" and getattr(p, "rule", "") != "not-ascii"]
    if errors:
        lines = "\n".join(f"    {p.message}" for p in errors)
        raise InputError(f"the user data cannot be used:\n{lines}", errors[0].hint)
    if any(getattr(p, "rule", "") == "not-ascii" for p in document.problems):
        notes.append("encoded what holds more than ASCII, which cloud-init would drop or garble")
    return parts, [Problem(severity="note", message=note) for note in dict.fromkeys(notes)]


def _multipart(document: Document, notes: list[str]) -> Document:
    content = document.content
    if content[:1].isspace():
        content = content.lstrip()
        notes.append("removed the blanks and empty lines before the MIME headers")
    for _ in range(_MOST):
        error = gomime.read(content).refusal()
        if error is None:
            break
        content = _mended(content, error, notes)
    return parse(content)


def _mended(content: bytes, error: gomime.GoError, notes: list[str]) -> bytes:
    """The content without this fault.

    Raises:
        InputError: What is meant is not plain.
    """
    lines = content.split(b"\n")
    line = lines[error.line - 1] if error.line <= len(lines) else b""
    if error.rule == "line ends":
        notes.append("changed all line ends to LF: they were mixed")
        return content.replace(b"\r\n", b"\n")
    if error.rule == "header" and line.startswith((b"--", b"#")):
        notes.append(f"added the missing empty line before line {error.line}")
        return b"\n".join([*lines[: error.line - 1], b"", *lines[error.line - 1 :]])
    unquoted = re.fullmatch(rb"(?i)(content-type:.*;\s*boundary=)([^\s\";]+)(\s*;.*)?\r?", line)
    if error.rule == "media type" and unquoted:
        notes.append(f"put the boundary in line {error.line} into double quotes")
        lines[error.line - 1] = unquoted[1] + b'"' + unquoted[2] + b'"' + (unquoted[3] or b"")
        return b"\n".join(lines)
    raise InputError(f"the user data cannot be used:\n    line {error.line}: {error.message}", error.hint)


def _script(part: Part, number: int, notes: list[str]) -> Part:
    before = re.match(rb"(?:\s|\xef\xbb\xbf|\xc2\xa0)+(?=#!)", part.content)
    if part.type != mime.SHELL or not before:
        return part
    what = "empty lines and blanks" if before[0].decode().isspace() else "byte order mark (BOM)"
    notes.append(f"removed the {what} before #! in part {number}")
    return replace(part, content=part.content[before.end() :])
