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
from amigen.userdata import gomime, mime
from amigen.userdata.finding import Finding, error, warning
from amigen.userdata.mime import Part
from amigen.userdata.nodeconfig import kind_of
from amigen.userdata.parts import Parts


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
    problems: tuple[Finding, ...]
    go: gomime.Archive = gomime.Archive(multipart=False)


def parse(raw: bytes, origin: str = "yours") -> Document:
    """Read any user data; never raises for what it holds."""
    try:
        content, wrapped = mime.unpack(raw)
    except ValueError as broken:
        return Document(
            type="application/gzip",
            wrapped=("gzip",),
            size=len(raw),
            content=raw,
            parts=(),
            problems=(error("", "gzip", str(broken), "make the file again"),),
        )
    size = len(raw)
    if "base64" in wrapped:
        compact = b"".join(raw.split())
        size = len(compact) // 4 * 3 - compact[-2:].count(b"=")
    go = gomime.read(content)
    read = Parts(origin)
    # Go takes names for headers that are none for others.
    type_ = mime.MULTIPART if go.multipart else mime.NODE_CONFIG if _is_node_config(content) else mime.detect(content)
    if type_ == mime.MULTIPART:
        _multipart(content, read)
        read.parts = _as_nodeadm_reads(read.parts, go, origin)
    elif type_ == "text/plain" and (alone := _alone(content)):
        type_ = read.add_mail(alone).type
    else:
        read.problems += _single(type_, content)
        if content.strip():
            read.add(Part(type=type_, content=content, origin=origin))
    return Document(
        type=type_,
        wrapped=wrapped,
        size=size,
        content=content,
        parts=tuple(read.parts),
        problems=(*read.problems, *_not_utf8(type_, content)),
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


def _as_nodeadm_reads(parts: list[Part], go: gomime.Archive, origin: str) -> list[Part]:
    """The parts with the NodeConfigs that Go finds: where line ends are mixed, Python ends parts elsewhere."""
    if go.error or not go.multipart:
        return parts
    theirs = [Part(type=mime.NODE_CONFIG, content=content, origin=origin) for content in go.node_configs()]
    if len(theirs) != sum(part.type == mime.NODE_CONFIG for part in parts):
        return [*(part for part in parts if part.type != mime.NODE_CONFIG), *theirs]
    contents = iter(part.content for part in theirs)
    return [replace(part, content=next(contents)) if part.type == mime.NODE_CONFIG else part for part in parts]


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


def _single(type_: str, content: bytes) -> Iterator[Finding]:
    """What is wrong with a document that is not multi-part."""
    if not content.strip():
        yield warning("", "empty", "is empty")
    elif b"\r" in content and b"\n" not in content and type_ != mime.NODE_CONFIG:
        message = "ends its lines in a carriage return (CR) alone, which is no line end for bash and MIME"
        yield error("", "line-ends", message, "save it with Unix line ends")
    elif line := mime.stray_line(content):
        shown = content.split(b"\n")[line - 1].decode("utf-8", "replace").strip()[:40]
        what = f"the line {line}, {shown!r}," if shown else f"an empty line ({line})"
        message = f"has {what} before its MIME headers or among them: nobody reads them"
        yield error("nodeadm", "mime-header", message, "begin it with the headers, without another line", line=line)
    elif type_ == mime.NODE_CONFIG and content.startswith(b"#!"):
        message = "is a NodeConfig for nodeadm, and a script for cloud-init, which fails"
        yield warning("cloud-init", "shebang", message, "remove the line that begins with #!")
    elif type_ == "text/plain":
        hints = (hint for sign, hint in _MEANT if re.search(sign, content))
        message = "is of a kind that neither cloud-init nor nodeadm knows: both ignore it"
        yield error("nodeadm", "kind", message, next(hints, "begin with #!, #cloud-config or MIME headers"))
    if b"mime-version:" in content[:4096].lower() and not content.isascii():
        # A first line such as #! is no header, so that all of it becomes the body: text without a charset.
        message = "holds `MIME-Version:` near its beginning, and more than ASCII: cloud-init reads it as mail, garbled"
        yield warning("cloud-init", "not-ascii", message, "move these words further down", _CONVERT)


def _is_node_config(content: bytes) -> bool:
    """Nodeadm reads all that is not multi-part as a NodeConfig, also below a comment that other programs obey."""
    if b"node.eks.aws/" not in content:
        return False
    try:
        value = goyaml.read(content).value
    except ValueError:
        return False
    return isinstance(value, dict) and str(kind_of(value)[0]).startswith("node.eks.aws/")


_CONVERT = "cloudinit/user_data.py, convert_string"


def _not_utf8(type_: str, content: bytes) -> Iterator[Finding]:
    """cloud-init decodes the document as a whole: one byte that is not UTF-8, in whatever part, costs all of it."""
    try:
        content.decode()
    except UnicodeDecodeError as wrong:
        if type_ in ("text/plain", mime.NODE_CONFIG) or content[:2] == b"\x1f\x8b":
            return
        line = content.count(b"\n", 0, wrong.start) + 1
        message = f"is not UTF-8 (line {line}): cloud-init runs nothing of it"
        source = f"{_CONVERT}; cloudinit/util.py, fully_decoded_payload"
        yield error("cloud-init", "utf-8", message, "save it as UTF-8", source, line)


def _multipart(content: bytes, read: Parts) -> None:
    """Read a multi-part document as Python's email does, of which cloud-init is made."""
    try:
        message = email.message_from_bytes(content.removeprefix(mime.BOM).lstrip(), policy=email.policy.compat32)
        boundary = message.get_boundary()
    except (ValueError, LookupError, AttributeError) as broken:
        read.problems.append(error("", "mime", f"has broken MIME headers: {broken}"))
        return
    except RecursionError:
        read.problems.append(error("", "nested", "is multi-part in multi-part, too deep to be read"))
        return
    if not (boundary and message.is_multipart()):
        read.problems.append(_headless(content, message, boundary))
        return
    read.problems += _head(content)
    if any(word in str(message.epilogue or "") for word in ("Content-Type:", f"--{boundary}")):
        text = f"holds parts behind its closing boundary `--{boundary}--`: nobody reads them"
        read.problems.append(warning("", "mime-end", text, "move the closing boundary to the end"))
    children = cast("list[Message]", message.get_payload())
    torn: list[Finding] = []
    for child in children:
        if child.is_multipart():
            read.nested("is itself multi-part")
            continue
        if child is children[-1] and len(children) > 1 and not child.keys() and not child.get_payload():
            continue  # A last line `--BOUNDARY` closes a document for all readers.
        swallowed = re.search(
            rf"--{re.escape(boundary)}.*\r?\n(?i:content-[a-z-]+|mime-version):", str(child.get_payload())
        )
        if swallowed:
            text = f"{read.where} goes on behind {swallowed[0].splitlines()[0][:60]!r}, which is no boundary there"
            torn.append(error("", "boundary", text, "write each boundary alone in its line, without blanks before it"))
        untyped = "content-type" not in child and bool(child.get_payload())
        read.add_mail(child)
        # A lone boundary line tears a script: Go reads on, and cloud-init calls the rest a part without headers.
        if untyped and [part.type for part in read.parts[-2:]] == [mime.SHELL, "text/plain"]:
            number = len(read.parts)
            text = (
                f"part {number} has no type and follows a script: does the boundary {boundary!r} occur in that script?"
            )
            torn.append(error("", "torn", text, "use a boundary that occurs in no part"))
    read.problems += torn


def _headless(content: bytes, message: Message, boundary: str | None) -> Finding:
    """Why Python finds no parts in it."""
    if boundary:
        return error("cloud-init", "mime-end", f"names the boundary {boundary!r}, and no line `--{boundary}` is in it")
    if "content-type" in message:
        hint = 'write Content-Type: multipart/mixed; boundary="..."'
        return error("", "mime-boundary", "is multi-part without a boundary", hint)
    # The first line that is no header ends the headers.
    lines = content.split(b"\n")
    line = next((n for n, text in enumerate(lines, 1) if not re.match(rb"[!-9;-~]+:|[ \t]", text)), 1)
    text = f"line {line} is no header for cloud-init: it finds no Content-Type before it, and runs nothing"
    hint = "write NAME: VALUE, without blanks before the colon, and no other line"
    return error("cloud-init", "mime-header", text, hint, "email/feedparser.py", line)


def _head(content: bytes) -> Iterator[Finding]:
    """What the head of a multi-part document lacks for cloud-init and nodeadm."""
    source = "email.message_from_string in cloudinit/util.py"
    if content.startswith(mime.BOM):
        message = "begins with a byte order mark (BOM): cloud-init finds no MIME headers behind it, and runs nothing"
        yield error("cloud-init", "bom", message, "save the file without BOM", source)
    if content[:1] in (b"\n", b"\r", b"\f", b"\v"):
        message = "begins with an empty line, which ends the MIME headers before they begin: nothing in it is found"
        yield error("", "mime", message, "remove the empty line", f"{source}, Go's net/mail in nodeadm")
    if b"mime-version:" not in content[:4096].lower():
        message = "has no header MIME-Version: cloud-init does not take it for MIME, and runs nothing of it"
        yield error("", "mime", message, "begin it with MIME-Version: 1.0", _CONVERT)
