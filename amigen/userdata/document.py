"""Read user data that anybody wrote: what it is, its parts, and what is wrong with it."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import Message
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from amigen.base import goyaml
from amigen.base.errors import Problem
from amigen.userdata import gomime, mime
from amigen.userdata.finding import Finding, error, warning
from amigen.userdata.mime import Part
from amigen.userdata.nodeconfig import kind_of
from amigen.userdata.parts import expanded, opened, read_part


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
        type_ = mime.NODE_CONFIG if _is_node_config(content) else type_
        part, problems = opened(Part(type=type_, content=content, origin=origin), "the script")
        if type_ == "text/plain" and (alone := _alone(content)):
            part, problems = read_part(alone, 1, origin)
            type_ = part.type
        else:
            problems = [*_single(part.type, content), *problems]
        parts, more = expanded(part, 0) if content.strip() else ((), [])
        problems += more
    return Document(
        type=type_,
        wrapped=wrapped,
        size=size,
        content=content,
        parts=parts,
        problems=(*problems, *_not_utf8(type_, content)),
        go=go,
    )


def _alone(content: bytes) -> Message | None:
    """MIME of one part, which cloud-init reads as mail, and nodeadm does not."""
    if b"mime-version:" not in content[:4096].lower():
        return None
    try:
        message = email.message_from_bytes(content, policy=email.policy.compat32)
    except RecursionError:
        return None
    return message if "content-type" in message and not message.is_multipart() else None


def _as_nodeadm_reads(parts: tuple[Part, ...], go: gomime.Archive, origin: str) -> tuple[Part, ...]:
    """The parts with the NodeConfigs that Go finds: where line ends are mixed, Python ends parts elsewhere."""
    if go.error or not go.multipart:
        return parts
    contents = go.node_configs()
    places = [n for n, part in enumerate(parts) if part.type == mime.NODE_CONFIG]
    if len(places) != len(contents):
        others = tuple(part for part in parts if part.type != mime.NODE_CONFIG)
        return (*others, *(Part(type=mime.NODE_CONFIG, content=content, origin=origin) for content in contents))
    found = list(parts)
    for place, content in zip(places, contents, strict=True):
        found[place] = replace(found[place], content=content)
    return tuple(found)


# What a document of no known kind was probably meant to be -> what to do.
_MEANT = (
    (rb"(?m)^\W?kind\W? *: *\W?NodeConfig\b", "apiVersion: node.eks.aws/v1alpha1"),
    (rb"\A[ \t]+(?i:mime-version|content-type):", "remove the blanks before each line (`<<-` in Terraform)"),
    (rb"(?m)^#cloud-config\b", "put #cloud-config into the first line"),
    (rb"(?m)^\[settings[.\]]", "this is TOML for Bottlerocket, which takes no user data of amigen"),
    (rb"(?i)<(powershell|script)>", "this is for Windows"),
    (
        rb"\A(?:\xef\xbb\xbf)?\"?[A-Za-z0-9+/\r\n]{8,}=*\"?\s*\Z",
        "this may be base64 that is broken or in base64: encode it once",
    ),
    (rb"\A\xef\xbb\xbf", "save the file without the byte order mark (BOM) at its beginning"),
    (rb"(?m)^kind: *\W?(EC2Node|NodePool|ClusterConfig)|\A\s*userData:", "give the user data alone, not what holds it"),
    (rb"\A.*<<-?\s*\W?EO[FT]", "give the text alone, without the marks of its here-document"),
    (rb"\A#\s+!|\A[#!]/", "the first two characters must be #!"),
    (rb"\A(\x28\xb5\x2f\xfd|BZh|x[\x01\x5e\x9c\xda]|\xfd7z|PK\x03\x04)", "pack it as gzip, or not at all"),
)


def _single(type_: str, content: bytes) -> tuple[Problem, ...]:
    found = []
    if not content.strip():
        return (Problem(severity="warning", message="is empty"),)
    if b"\r" in content and b"\n" not in content and type_ != mime.NODE_CONFIG:
        message = "ends its lines in a carriage return (CR) alone, which is no line end for bash and MIME"
        return (Problem(message=message, hint="save it with Unix line ends"),)
    if line := mime.stray_line(content):
        shown = content.split(b"\n")[line - 1].decode("utf-8", "replace").strip()[:40]
        message = f"has the line {line}, {shown!r}, before its MIME headers or among them: nobody reads them"
        return (error("nodeadm", "mime-header", message, "begin it with the headers, without another line", line=line),)
    if type_ == mime.NODE_CONFIG and content.startswith(b"#!"):
        message = "is a NodeConfig for nodeadm, and a script for cloud-init, which fails"
        return (warning("cloud-init", "shebang", message, "remove the line that begins with #!"),)
    if type_ == "text/plain":
        hint = next(
            (hint for sign, hint in _MEANT if re.search(sign, content)), "begin with #!, #cloud-config or MIME headers"
        )
        found.append(
            Finding(
                message="is of a kind that neither cloud-init nor nodeadm knows: both ignore it",
                hint=hint,
                reader="nodeadm",
                rule="kind",
            )
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


def _is_node_config(content: bytes) -> bool:
    """Nodeadm reads all that is not multi-part as a NodeConfig, also below a comment that other programs obey."""
    if b"node.eks.aws/" not in content:
        return False
    try:
        value = goyaml.read(content).value
    except ValueError:
        return False
    return isinstance(value, dict) and str(kind_of(value)[0]).startswith("node.eks.aws/")


def _not_utf8(type_: str, content: bytes) -> Iterator[Problem]:
    """cloud-init decodes the document as a whole: one byte that is not UTF-8, in whatever part, costs all of it."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if type_ in ("text/plain", mime.NODE_CONFIG) or content[:2] == b"\x1f\x8b":
            return
        line = content.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (line {line}): cloud-init runs nothing of it"
        source = "cloudinit/user_data.py, convert_string; cloudinit/util.py, fully_decoded_payload"
        yield Finding(
            line=line, message=message, hint="save it as UTF-8", source=source, reader="cloud-init", rule="utf-8"
        )


def _multipart(content: bytes, origin: str) -> tuple[tuple[Part, ...], list[Problem]]:
    problems: list[Problem] = []
    try:
        message = email.message_from_bytes(content.removeprefix(mime.BOM).lstrip(), policy=email.policy.compat32)
        boundary = message.get_boundary()
    except (ValueError, LookupError, AttributeError) as error:
        return (), [Problem(message=f"has broken MIME headers: {error}")]
    except RecursionError:
        return (), [Problem(message="is multi-part in multi-part, too deep to be read")]
    if "content-type" not in message:
        return (), [_headless(content)]
    if not boundary:
        hint = 'write Content-Type: multipart/mixed; boundary="..."'
        return (), [Problem(message="is multi-part without a boundary", hint=hint)]
    if not message.is_multipart():
        text = f"names the boundary {boundary!r}, and no line `--{boundary}` is in it"
        return (), [Finding(message=text, reader="cloud-init", rule="mime-end")]
    problems += _head(content)
    if any(word in str(message.epilogue or "") for word in ("Content-Type:", f"--{boundary}")):
        text = f"holds parts behind its closing boundary `--{boundary}--`: nobody reads them"
        problems.append(Problem(severity="warning", message=text, hint="move the closing boundary to the end"))
    parts: list[Part] = []
    typed: set[int] = set()
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
        if "content-type" in child or not child.get_payload():
            typed.add(len(parts) + 1)
        part, found = read_part(child, len(parts) + 1, origin)
        inside, more = expanded(part, len(parts))
        problems += [*found, *more]
        parts += inside
    # A lone boundary line tears a script: Go reads on, and cloud-init calls the rest a part without headers.
    problems += _torn(parts, boundary, typed)
    return tuple(parts), problems


def _headless(content: bytes) -> Finding:
    """To Python's email, the first line that is no header ends the headers (email/feedparser.py)."""
    lines = content.split(b"\n")
    line = next((n for n, text in enumerate(lines, 1) if not re.match(rb"[!-9;-~]+:|[ \t]", text)), 1)
    message = f"line {line} is no header for cloud-init: it finds no Content-Type before it, and runs nothing"
    hint = "write NAME: VALUE, without blanks before the colon, and no other line"
    source = "email/feedparser.py"
    return Finding(line=line, message=message, hint=hint, source=source, reader="cloud-init", rule="mime-header")


def _head(content: bytes) -> Iterator[Problem]:
    """What the head of a multi-part document lacks for cloud-init and nodeadm."""
    if content.startswith(mime.BOM):
        message = "begins with a byte order mark (BOM): cloud-init finds no MIME headers behind it, and runs nothing"
        source = "email.message_from_string in cloudinit/util.py"
        yield Finding(message=message, hint="save the file without BOM", source=source, reader="cloud-init", rule="bom")
    if content[:1] in (b"\n", b"\r", b"\f", b"\v"):
        message = "begins with an empty line, which ends the MIME headers before they begin: nothing in it is found"
        source = "email.message_from_string in cloudinit/util.py, Go's net/mail in nodeadm"
        yield Problem(message=message, hint="remove the empty line", source=source)
    if b"mime-version:" not in content[:4096].lower():
        message = "has no header MIME-Version: cloud-init does not take it for MIME, and runs nothing of it"
        source = "cloudinit/user_data.py, convert_string"
        yield Problem(message=message, hint="begin it with MIME-Version: 1.0", source=source)


def _torn(parts: list[Part], boundary: str, typed: set[int]) -> list[Problem]:
    """A boundary line inside a script tears it: the rest looks like a part without headers."""
    found = []
    for number, part in enumerate(parts[1:], 2):
        if number not in typed and part.type == "text/plain" and parts[number - 2].type == mime.SHELL:
            message = (
                f"part {number} has no type and follows a script: does the boundary {boundary!r} occur in that script?"
            )
            found.append(Problem(message=message, hint="use a boundary that occurs in no part"))
    return found
