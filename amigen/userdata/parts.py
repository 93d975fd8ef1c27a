"""One part of a document, as cloud-init decodes and unpacks it."""

from __future__ import annotations

from email.message import Message
from typing import Any, Literal

from msgspec.structs import replace

from amigen.base import cloudyaml
from amigen.base.errors import Problem
from amigen.userdata import mime, packed
from amigen.userdata.finding import Finding
from amigen.userdata.mime import Part

# Headers of a part that its type, content, name and wrapping say.
_SAID_OTHERWISE = (
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "mime-version",
    "content-length",
    "content-md5",
)


def opened(part: Part, what: str) -> tuple[Part, list[Problem]]:
    """The part, or what is in it where it is a script that unpacks itself."""
    if part.type != mime.SHELL:
        return part, []
    try:
        inside = packed.unpack(part.content)
    except ValueError as error:
        return part, [Problem(message=f"{what}: {error}", hint="make the user data again")]
    if inside is None:
        return part, []
    return replace(part, content=inside, wrapped=(*part.wrapped, packed.WRAPPED)), []


def read_part(child: Message, number: int, origin: str) -> tuple[Part, list[Problem]]:
    """One part with what is wrong with it, decoded and unpacked."""
    problems: list[Problem] = []
    wrapped: list[str] = []
    try:
        payload = child.get_payload(decode=True)
    except (ValueError, LookupError) as error:
        payload, problems = b"", [Problem(message=f"part {number} cannot be decoded: {error}")]
    content = payload if isinstance(payload, bytes) else b""
    encoding = str(child.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding in ("base64", "quoted-printable"):
        wrapped.append(encoding)
    type_ = child.get_content_type()
    if type_ in mime.GZIP_TYPES or (type_ == mime.NODE_CONFIG and content[:2] == b"\x1f\x8b"):
        try:
            content = mime.gunzip(content)
            wrapped.append("gzip")
            if type_ in mime.GZIP_TYPES:
                type_ = mime.detect(content)
        except ValueError as error:
            problems.append(Problem(message=f"part {number}: {error}"))
    problems += _garbled(content, type_, wrapped, number)
    if type_ in ("text/plain", "text/x-not-multipart", mime.SHELL):
        type_, found = _looked_at(content, type_, number)
        problems += found
    if mime.is_multipart(content):
        problems.append(
            Problem(
                message=f"part {number} holds a whole multi-part document: nodeadm does not look into it",
                hint="put its parts into the outer document",
                source="eksctl issue 7895, amazon-eks-ami issue 1988",
            )
        )
    headers = tuple((key, str(value)) for key, value in child.items() if key.lower() not in _SAID_OTHERWISE)
    type_name = str(child.get_param("name") or "")
    if type_ != child.get_content_type() and "gzip" not in wrapped:
        # cloud-init gives it a new Content-Type, without the old one's name (user_data.py, _process_msg).
        del child["Content-Type"]
    part, found = opened(
        Part(
            type=type_,
            content=content,
            filename=child.get_filename() or "",
            type_name=type_name,
            origin=origin,
            wrapped=tuple(wrapped),
            headers=headers,
        ),
        f"part {number}",
    )
    return part, [*problems, *found]


def _looked_at(content: bytes, type_: str, number: int) -> tuple[str, list[Problem]]:
    """The type after cloud-init's look at the first characters."""
    seen = mime.detect(content)
    type_ = seen if seen not in ("text/plain", mime.NODE_CONFIG, mime.MULTIPART) else type_
    if type_ == "text/plain":
        message = f"part {number} is of a kind that cloud-init does not know: it is ignored"
        return type_, [Problem(severity="warning", message=message, hint="name its Content-Type")]
    return type_, []


def _garbled(content: bytes, type_: str, wrapped: list[str], number: int) -> list[Problem]:
    """cloud-init takes an unpacked or plain part as text without a charset, and gets it back in raw-unicode-escape.

    What cannot be written as UTF-8 then (U+0080 to U+00FF) makes its handler fail; the rest becomes an escape.
    """
    text = content.decode("utf-8", "surrogateescape")
    broken = any("\ud800" <= char <= "\udfff" for char in text)
    coded = bool(wrapped) and "gzip" not in wrapped
    if content.isascii() or type_ == mime.NODE_CONFIG or (coded and not broken):
        return []
    how = "in base64, is not UTF-8, and" if coded else "packed, and" if wrapped else "without a transfer encoding, and"
    dropped = broken or any("\x80" <= char <= "\xff" for char in text)
    then = "cloud-init drops the whole part" if dropped else "cloud-init garbles it"
    line = content.count(b"\n", 0, next(n for n, byte in enumerate(content) if byte > 127)) + 1
    message = f"part {number} is {how} holds more than ASCII (line {line} of the part): {then}"
    hint = "carry the part in base64 alone, or let amigen user-data --merge do it"
    source = "cloudinit/user_data.py, _process_msg; cloudinit/util.py, fully_decoded_payload"
    severity: Literal["error", "warning"] = "error" if dropped else "warning"
    return [
        Finding(severity=severity, message=message, hint=hint, source=source, reader="cloud-init", rule="not-ascii")
    ]


def expanded(part: Part, before: int) -> tuple[tuple[Part, ...], list[Problem]]:
    """The entries of an archive, which cloud-init handles as parts; every other part as it is.

    Args:
        part: Any part.
        before: How many parts come before it.
    """
    if part.type != "text/cloud-config-archive":
        return (part,), []
    try:
        value = cloudyaml.read(part.content)
        why = "" if isinstance(value, list) else "is not a list"
    except ValueError as error:
        value, why = None, str(error)
    if why:
        return (), [_ignored(f"part {before + 1} is an archive and {why}: cloud-init runs nothing of it")]
    parts: list[Part] = []
    problems: list[Problem] = []
    for entry in value:
        number = before + len(parts) + 1
        found = _entry(entry, part, number)
        if isinstance(found, Part):
            opened_, more = opened(found, f"part {number}")
            parts.append(opened_)
            problems += more
        else:
            problems += found
    return tuple(parts), problems


def _entry(entry: Any, archive: Part, number: int) -> Part | list[Problem]:
    """cloudinit/user_data.py, _explode_archive."""
    where = f"part {number}, in an archive,"
    entry = {"content": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict):
        return [_ignored(f"{where} is neither text nor a mapping: cloud-init skips it")]
    content = str(entry.get("content") or "").encode("utf-8", "surrogateescape")
    seen = mime.detect(content)
    type_ = str(entry.get("type") or (seen if seen in _STARTS else mime.CLOUD_CONFIG)).lower()
    if type_ == mime.NODE_CONFIG:
        return [_ignored(f"{where} is a NodeConfig: nodeadm does not look into archives", "nodeadm")]
    if "/" not in type_:
        return [_ignored(f"{where} has the type {type_[:40]!r}: cloud-init gives up on all of the user data")]
    headers = tuple((key, str(value)) for key, value in entry.items() if key.lower() not in _KEYS)
    return Part(
        type=type_,
        content=content,
        filename=str(entry.get("filename") or ""),
        origin=archive.origin,
        wrapped=(*archive.wrapped, "archive"),
        headers=headers,
    )


# What cloud-init knows an entry without a type by.
_STARTS = {type_ for _, type_ in mime.SIGNS}
_KEYS = ("content", "filename", "type", "launch-index", "content-disposition", "content-type")


def _ignored(message: str, reader: Literal["cloud-init", "nodeadm"] = "cloud-init") -> Finding:
    source = "cloudinit/user_data.py, _explode_archive"
    return Finding(message=message, hint="put it into a part of its own", source=source, reader=reader, rule="archive")
