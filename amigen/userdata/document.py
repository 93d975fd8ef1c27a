"""Read user data that anybody wrote: what it is, its parts, and what is wrong with it."""

from __future__ import annotations

from email.message import Message
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from amigen.errors import InputError, Problem
from amigen.userdata import mime
from amigen.userdata.mime import Part


class Document(Struct, frozen=True, kw_only=True):
    """User data, read.

    Attributes:
        type: MIME type of the whole: `multipart/mixed`, or that of the single part.
        wrapped: `base64` and/or `gzip` around the whole.
        size: Bytes as they stand (after taking off base64, which EC2 does not count).
        parts: Its parts in order.
        problems: What is wrong with it wherever it is used.
    """

    type: str
    wrapped: tuple[str, ...]
    size: int
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]

    def require(self) -> tuple[Part, ...]:
        """The parts.

        Raises:
            InputError: Something in it would keep the node from reading it.
        """
        errors = [p for p in self.problems if p.severity == "error"]
        if errors:
            raise InputError(
                "the user data cannot be used:\n" + "\n".join(f"    {p.message}" for p in errors), errors[0].hint
            )
        return self.parts


def parse(raw: bytes, origin: str = "yours") -> Document:
    """Read any user data; never raises for what it holds."""
    try:
        content, wrapped = mime.unpack(raw)
    except ValueError as error:
        problem = Problem(message=str(error), hint="make the file again")
        return Document(type="application/gzip", wrapped=("gzip",), size=len(raw), parts=(), problems=(problem,))
    size = len(raw)
    if "base64" in wrapped:
        compact = b"".join(raw.split())
        size = len(compact) // 4 * 3 - compact[-2:].count(b"=")
    type_ = mime.detect(content)
    if type_ != mime.MULTIPART:
        part = Part(type=type_, content=content, origin=origin)
        return Document(
            type=type_, wrapped=wrapped, size=size, parts=(part,) if content.strip() else (), problems=_single(part)
        )
    parts, problems = _multipart(content, origin)
    return Document(type=type_, wrapped=wrapped, size=size, parts=parts, problems=problems)


def _single(part: Part) -> tuple[Problem, ...]:
    found = []
    if not part.content.strip():
        return (Problem(severity="warning", message="is empty"),)
    if part.type == "text/plain":
        hint = "begin with #!, #cloud-config or MIME headers"
        found.append(
            Problem(message="is of no kind that cloud-init or nodeadm knows: cloud-init ignores it", hint=hint)
        )
    if b"mime-version:" in part.content[:4096].lower():
        # cloudinit/user_data.py, convert_string: these words in the first 4096 bytes make it parse MIME.
        message = "holds `MIME-Version:` near its beginning without being MIME: cloud-init reads it as MIME"
        found.append(Problem(message=message, hint="move the text further down, or write real MIME headers"))
    return tuple(found)


def _multipart(content: bytes, origin: str) -> tuple[tuple[Part, ...], tuple[Problem, ...]]:
    import email
    import email.policy

    problems: list[Problem] = []
    try:
        message = email.message_from_bytes(content.lstrip(), policy=email.policy.compat32)
        boundary = message.get_boundary()
    except (ValueError, LookupError, AttributeError) as error:
        return (), (Problem(message=f"has broken MIME headers: {error}"),)
    except RecursionError:
        return (), (Problem(message="is multi-part in multi-part, too deep to be read"),)
    if not boundary:
        hint = 'write Content-Type: multipart/mixed; boundary="..."'
        return (), (Problem(message="is multi-part without a boundary", hint=hint),)
    if not message.is_multipart():
        return (), (Problem(message=f"names the boundary {boundary!r}, and no line `--{boundary}` is in it"),)
    if f"--{boundary}--".encode() not in content:
        hint = f"end it with the line --{boundary}--"
        problems.append(
            Problem(severity="warning", message="has no closing boundary: the last part may be cut", hint=hint)
        )
    parts: list[Part] = []
    for child in cast("list[Message]", message.get_payload()):
        if child.is_multipart():
            problems.append(
                Problem(
                    message=f"part {len(parts) + 1} is itself multi-part: nodeadm does not look into it",
                    hint="put its parts into the outer document",
                    source="eksctl issue 7895, amazon-eks-ami issue 1988",
                )
            )
            continue
        part, found = _part(child, len(parts) + 1, origin)
        problems += found
        parts.append(part)
        encoded = str(child.get("Content-Transfer-Encoding", "")).lower() in ("base64", "quoted-printable")
        if not encoded and f"--{boundary}".encode() in part.content:
            hint = "use a boundary that occurs in no part"
            problems.append(Problem(message=f"the boundary {boundary!r} occurs inside part {len(parts)}", hint=hint))
    problems += _torn(parts, boundary)
    return tuple(parts), tuple(problems)


def _part(child: Message, number: int, origin: str) -> tuple[Part, list[Problem]]:
    problems: list[Problem] = []
    wrapped: list[str] = []
    try:
        payload = child.get_payload(decode=True)
    except (ValueError, LookupError) as error:
        payload, problems = b"", [Problem(message=f"part {number} cannot be decoded: {error}")]
    content = payload if isinstance(payload, bytes) else b""
    if str(child.get("Content-Transfer-Encoding", "")).lower() == "base64":
        wrapped.append("base64")
    type_ = child.get_content_type()
    if type_ in mime.GZIP_TYPES or (type_ == mime.NODE_CONFIG and content[:2] == b"\x1f\x8b"):
        try:
            content = mime.gunzip(content)
            wrapped.append("gzip")
            if type_ in mime.GZIP_TYPES:
                type_ = mime.detect(content)
                problems += _garbled(content, number)
        except ValueError as error:
            problems.append(Problem(message=f"part {number}: {error}"))
    if type_ in ("text/plain", "text/x-not-multipart", mime.SHELL):
        seen = mime.detect(content)
        type_ = seen if seen not in ("text/plain", mime.NODE_CONFIG, mime.MULTIPART) else type_
        if type_ == mime.SHELL and seen != mime.SHELL:
            message = (
                f"part {number} is a shell script by its type, and does not begin with #!: cloud-init cannot run it"
            )
            problems.append(Problem(message=message, hint="begin it with #!/usr/bin/env bash"))
        if type_ == "text/plain":
            message = f"part {number} is of no kind that cloud-init knows: it is ignored"
            problems.append(Problem(severity="warning", message=message, hint="name its Content-Type"))
    if mime.is_multipart(content):
        problems.append(
            Problem(
                message=f"part {number} holds a whole multi-part document: nodeadm does not look into it",
                hint="put its parts into the outer document",
                source="eksctl issue 7895, amazon-eks-ami issue 1988",
            )
        )
    filename = child.get_filename() or ""
    return Part(type=type_, content=content, filename=filename, origin=origin, wrapped=tuple(wrapped)), problems


def _garbled(content: bytes, number: int) -> list[Problem]:
    """cloud-init takes an unpacked part as text without a charset, and gets it back in raw-unicode-escape."""
    if content.isascii():
        return []
    message = f"part {number} is packed, and holds more than ASCII: cloud-init garbles it"
    hint = "pack the whole document, or carry the part in base64 alone"
    return [Problem(message=message, hint=hint, source="cloudinit/user_data.py, _process_msg")]


def _torn(parts: list[Part], boundary: str) -> list[Problem]:
    """A boundary line inside a script tears it: the rest looks like a part without headers."""
    found = []
    for number, part in enumerate(parts[1:], 2):
        if part.type == "text/plain" and parts[number - 2].type == mime.SHELL:
            message = (
                f"part {number} has no type and follows a script: does the boundary {boundary!r} occur in that script?"
            )
            found.append(Problem(message=message, hint="use a boundary that occurs in no part"))
    return found


def with_origin(parts: tuple[Part, ...], origin: str) -> tuple[Part, ...]:
    """The same parts, brought by somebody else."""
    return tuple(replace(part, origin=origin) for part in parts)
