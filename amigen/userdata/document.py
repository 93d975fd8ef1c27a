"""Read user data that anybody wrote: what it is, its parts, and what is wrong with it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import Message
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from amigen.base.errors import InputError, Problem
from amigen.userdata import gomime, mime, packed
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


class Document(Struct, frozen=True, kw_only=True):
    """User data, read.

    Attributes:
        type: MIME type of the whole: `multipart/mixed`, or that of the single part.
        wrapped: `base64` and/or `gzip` around the whole.
        size: Bytes as they stand (after taking off base64, which EC2 does not count).
        content: The bytes without what was around them.
        parts: Its parts in order.
        problems: What is wrong with it wherever it is used.
        go: The document as Go reads it, for nodeadm and Karpenter.
    """

    type: str
    wrapped: tuple[str, ...]
    size: int
    content: bytes
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    go: gomime.Archive = gomime.Archive(multipart=False)

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
        return Document(
            type="application/gzip", wrapped=("gzip",), size=len(raw), content=raw, parts=(), problems=(problem,)
        )
    size = len(raw)
    if "base64" in wrapped:
        compact = b"".join(raw.split())
        size = len(compact) // 4 * 3 - compact[-2:].count(b"=")
    go = gomime.read(content)
    # Go takes names for headers that are none for others.
    type_ = mime.MULTIPART if go.multipart else mime.detect(content)
    if type_ == mime.MULTIPART:
        parts, problems = _multipart(content, origin)
        parts = _as_nodeadm_reads(parts, go, origin)
    else:
        part, problems = _opened(Part(type=type_, content=content, origin=origin), "the script")
        parts, problems = (part,) if content.strip() else (), [*_single(part.type, content), *problems]
    return Document(
        type=type_,
        wrapped=wrapped,
        size=size,
        content=content,
        parts=parts,
        problems=tuple(problems),
        go=go,
    )


def _as_nodeadm_reads(parts: tuple[Part, ...], go: gomime.Archive, origin: str) -> tuple[Part, ...]:
    """The parts with the NodeConfigs that Go finds: where line ends are mixed, Python ends parts elsewhere."""
    if go.error or not go.multipart:
        return parts
    contents = []
    for part in go.parts:
        try:
            kind, _ = gomime.media_type(part.type)
            if kind == mime.NODE_CONFIG:
                contents.append(mime.unpack(part.content)[0])
        except ValueError:
            continue
    places = [n for n, part in enumerate(parts) if part.type == mime.NODE_CONFIG]
    if len(places) != len(contents):
        others = tuple(part for part in parts if part.type != mime.NODE_CONFIG)
        return (*others, *(Part(type=mime.NODE_CONFIG, content=content, origin=origin) for content in contents))
    found = list(parts)
    for place, content in zip(places, contents, strict=True):
        found[place] = replace(found[place], content=content)
    return tuple(found)


def _opened(part: Part, what: str) -> tuple[Part, list[Problem]]:
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


def _single(type_: str, content: bytes) -> tuple[Problem, ...]:
    found = []
    if not content.strip():
        return (Problem(severity="warning", message="is empty"),)
    if type_ == "text/plain":
        hint = "begin with #!, #cloud-config or MIME headers"
        found.append(
            Problem(message="is of no kind that cloud-init or nodeadm knows: cloud-init ignores it", hint=hint)
        )
    if b"mime-version:" in content[:4096].lower() and not content.isascii():
        # A first line such as #! is no header, so that all of it becomes the body: text without a charset.
        message = "holds `MIME-Version:` near its beginning, and more than ASCII: cloud-init reads it as mail, garbled"
        hint = "move these words further down"
        source = "cloudinit/user_data.py, convert_string"
        found.append(
            Finding(
                severity="warning", message=message, hint=hint, source=source, reader="cloud-init", rule="not-ascii"
            )
        )
    return tuple(found)


def _multipart(content: bytes, origin: str) -> tuple[tuple[Part, ...], list[Problem]]:
    problems: list[Problem] = []
    try:
        message = email.message_from_bytes(content.removeprefix(mime.BOM).lstrip(), policy=email.policy.compat32)
        boundary = message.get_boundary()
    except (ValueError, LookupError, AttributeError) as error:
        return (), [Problem(message=f"has broken MIME headers: {error}")]
    except RecursionError:
        return (), [Problem(message="is multi-part in multi-part, too deep to be read")]
    if not boundary:
        hint = 'write Content-Type: multipart/mixed; boundary="..."'
        return (), [Problem(message="is multi-part without a boundary", hint=hint)]
    if not message.is_multipart():
        return (), [Problem(message=f"names the boundary {boundary!r}, and no line `--{boundary}` is in it")]
    problems += _head(content)
    parts: list[Part] = []
    children = cast("list[Message]", message.get_payload())
    last = children[-1] if len(children) > 1 else None
    for child in children:
        if child.is_multipart():
            problems.append(
                Problem(
                    message=f"part {len(parts) + 1} is itself multi-part: nodeadm does not look into it",
                    hint="put its parts into the outer document",
                    source="eksctl issue 7895, amazon-eks-ami issue 1988",
                )
            )
            continue
        if child is last and not child.keys() and not child.get_payload():
            continue  # A last line `--BOUNDARY` closes a document for all readers.
        part, found = _part(child, len(parts) + 1, origin)
        problems += found
        parts.append(part)
    # A lone boundary line tears a script: Go reads on, and cloud-init calls the rest a part without headers.
    problems += _torn(parts, boundary)
    return tuple(parts), problems


def _head(content: bytes) -> Iterator[Problem]:
    """What the head of a multi-part document lacks for cloud-init and nodeadm."""
    if content.startswith(mime.BOM):
        message = "begins with a byte order mark (BOM): cloud-init finds no MIME headers behind it, and runs nothing"
        source = "email.message_from_string in cloudinit/util.py"
        yield Finding(message=message, hint="save the file without BOM", source=source, reader="cloud-init", rule="bom")
    if content[:1] in (b"\n", b"\r"):
        message = "begins with an empty line, which ends the MIME headers before they begin: nothing in it is found"
        source = "email.message_from_string in cloudinit/util.py, Go's net/mail in nodeadm"
        yield Problem(message=message, hint="remove the empty line", source=source)
    if b"mime-version:" not in content[:4096].lower():
        message = "has no header MIME-Version: cloud-init does not take it for MIME, and runs nothing of it"
        source = "cloudinit/user_data.py, convert_string"
        yield Problem(message=message, hint="begin it with MIME-Version: 1.0", source=source)


def _part(child: Message, number: int, origin: str) -> tuple[Part, list[Problem]]:
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
    part, found = _opened(
        Part(
            type=type_,
            content=content,
            filename=child.get_filename() or "",
            type_name=str(child.get_param("name") or ""),
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
    if type_ == mime.SHELL and not content.startswith(b"#!"):
        what = "has an empty line or blanks before #!" if seen == mime.SHELL else "does not begin with #!"
        message = (
            f"part {number} is a shell script by its type, and {what}: cloud-init cannot run it (Exec format error)"
        )
        hint = "begin it with #!/usr/bin/env bash, in its first byte"
        return type_, [Finding(message=message, hint=hint, reader="cloud-init", rule="shebang")]
    if type_ == "text/plain":
        message = f"part {number} is of no kind that cloud-init knows: it is ignored"
        return type_, [Problem(severity="warning", message=message, hint="name its Content-Type")]
    return type_, []


def _garbled(content: bytes, type_: str, wrapped: list[str], number: int) -> list[Problem]:
    """cloud-init takes an unpacked or plain part as text without a charset, and gets it back in raw-unicode-escape.

    What cannot be written as UTF-8 then (U+0080 to U+00FF) makes its handler fail; the rest becomes an escape.
    """
    if content.isascii() or type_ == mime.NODE_CONFIG or (wrapped and "gzip" not in wrapped):
        return []
    how = "packed, and" if wrapped else "without a transfer encoding, and"
    text = content.decode("utf-8", "surrogateescape")
    dropped = any("\x80" <= char <= "\xff" or "\ud800" <= char <= "\udfff" for char in text)
    then = "cloud-init drops the whole part" if dropped else "cloud-init garbles it"
    line = content.count(b"\n", 0, next(n for n, byte in enumerate(content) if byte > 127)) + 1
    message = f"part {number} is {how} holds more than ASCII (line {line} of the part): {then}"
    hint = "carry the part in base64 alone, or let amigen user-data --merge do it"
    source = "cloudinit/user_data.py, _process_msg; cloudinit/util.py, fully_decoded_payload"
    severity: Literal["error", "warning"] = "error" if dropped else "warning"
    return [
        Finding(severity=severity, message=message, hint=hint, source=source, reader="cloud-init", rule="not-ascii")
    ]


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
