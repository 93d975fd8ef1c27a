"""What a system makes of a document before the node reads it.

Karpenter's part is written after karpenter-provider-aws v1.14.1: pkg/providers/amifamily/bootstrap/nodeadm.go
(parseUserData, Script), mime/mime.go (NewArchive, Serialize), and Go's mime/multipart/writer.go.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from amigen.base import goyaml
from amigen.userdata import gomime, mime
from amigen.userdata.document import Document, parse
from amigen.userdata.finding import Finding, error, warning
from amigen.userdata.gomediatype import SPACE
from amigen.userdata.mime import Part
from amigen.userdata.systems import System, SystemName

_BOUNDARY = b"//"
# In place of the NodeConfig that only Karpenter knows.
_GENERATED = b"# Karpenter Generated NodeConfig\napiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {}\n"
_SHELL = 'text/x-shellscript; charset="us-ascii"'


class Placed(Struct, frozen=True, kw_only=True):
    """A part that reaches the node.

    Attributes:
        number: Its place in the document as given, from 1; one more than there are for the system's own.
        place: Its place in what arrives, from 1.
        given: As it was before; None for the system's own.
        part: As it arrives; the system's own has no content, which only it knows.
    """

    number: int
    place: int
    given: Part | None
    part: Part


class Arrival(Struct, frozen=True, kw_only=True):
    """What reaches the node.

    Attributes:
        document: As the node reads it.
        parts: The parts that arrive.
        findings: What the system refuses, or takes for something else.
        coded: Numbers of the parts that arrive in base64 or gzip without the header that says so.
    """

    document: Document
    parts: tuple[Placed, ...]
    findings: tuple[Finding, ...] = ()
    coded: tuple[int, ...] = ()


def arrive(document: Document, system: System, name: SystemName, origin: str) -> Arrival:
    """The document after the system, of which only a system that rewrites changes the bytes."""
    if system.rewrites and "gzip" not in document.wrapped:
        return _rewritten(document, system, name, origin)
    parts = document.parts
    if system.headers is not None:
        parts = tuple(replace(part, filename=part.type_name, headers=()) for part in parts)
    if system.prepends.startswith("#!"):
        prepends = system.prepends.encode()
        parts = tuple(
            replace(part, content=prepends + part.content) if part.type == mime.SHELL else part for part in parts
        )
    own = len(parts)
    if system.node_config == "first":
        own = next((n for n, part in enumerate(parts) if part.type == mime.NODE_CONFIG), own)
    return Arrival(document=document, parts=_placed(document.parts, parts, name, own if system.node_config else None))


def _placed(
    given: tuple[Part, ...], arrived: tuple[Part, ...], name: SystemName, own: int | None
) -> tuple[Placed, ...]:
    """Each part with what it was, and before the part `own` the NodeConfig of the system."""
    rows: list[tuple[int, Part | None, Part]]
    rows = [(number, before, part) for number, (before, part) in enumerate(zip(given, arrived, strict=True), 1)]
    if own is not None:
        rows.insert(own, (len(given) + 1, None, Part(type=mime.NODE_CONFIG, content=b"", origin=name)))
    return tuple(Placed(number=n, place=place, given=g, part=p) for place, (n, g, p) in enumerate(rows, 1))


def _rewritten(document: Document, system: System, name: SystemName, origin: str) -> Arrival:
    unread = _placed(document.parts, document.parts, name, len(document.parts))
    # What Karpenter reads nothing of is told as it was read here.
    findings: list[Finding] = [] if document.parts else list(document.problems)
    try:
        document.content.decode()
        read = parse(merged_by_karpenter(document.content), origin)
    except UnicodeDecodeError as wrong:
        line = document.content.count(b"\n", 0, wrong.start) + 1
        message = f"is not UTF-8 (line {line}): userData of an EC2NodeClass is text"
        hint = "save the file as UTF-8, or let amigen user-data --merge do it"
        findings.append(error("karpenter", "utf-8", message, hint, system.source, line))
        return Arrival(document=document, parts=unread, findings=tuple(findings))
    except gomime.GoError as refusal:
        message = f"line {refusal.line}: {refusal.message}: Karpenter refuses the document, and the node never joins"
        findings.append(error("karpenter", f"mime-{refusal.rule}", message, refusal.hint, system.source, refusal.line))
        document = replace(document, go=gomime.Archive(multipart=True))
        return Arrival(document=document, parts=unread, findings=tuple(findings))
    theirs = tuple(part for part in read.parts if part.content.rstrip() != _GENERATED.rstrip())
    own: int | None = len(theirs)
    if read.go.refusal() is None and not any(text.startswith(_GENERATED) for text in read.go.node_configs()):
        own = None
        message = "closes Karpenter's boundary, //: nodeadm does not find the NodeConfig that Karpenter puts behind it"
        findings.append(warning("karpenter", "boundary", message, "use another boundary", system.source))
    given = theirs
    coded: tuple[int, ...] = ()
    if len(document.parts) == len(theirs):
        given = document.parts
        theirs = tuple(replace(part, origin=before.origin) for part, before in zip(theirs, given, strict=True))
        coded = tuple(n for n, part in enumerate(given, 1) if {"base64", "gzip"} & set(part.wrapped))
    if _retyped(document, theirs):
        message = f"is {document.type}, and {system.title} {system.needs}: cloud-init never sees it for what it is"
        findings.append(error("karpenter", "retyped", message, system.hint, system.source))
    parts = _placed(given, theirs, name, own)
    return Arrival(document=read, parts=parts, findings=tuple(findings), coded=coded)


def _retyped(document: Document, theirs: tuple[Part, ...]) -> bool:
    """Whether a whole document arrives as something else than it is."""
    if document.type == mime.MULTIPART:
        return not _is_mime(document.content)
    if not document.content:
        return False
    arrived = theirs[0].type if theirs else ""
    return arrived != document.type and (document.type, arrived) != ("text/plain", mime.SHELL)


def _is_mime(content: bytes) -> bool:
    text = content.decode("utf-8", "surrogateescape").strip(SPACE)
    return text.startswith(("MIME-Version:", "Content-Type:"))


def merged_by_karpenter(content: bytes) -> bytes:
    """The document that a node of an EC2NodeClass with this user data gets.

    Raises:
        GoError: Karpenter cannot read it, and launches no node.
    """
    out = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="%s"\n\n' % _BOUNDARY
    for number, (type_, body) in enumerate([*_entries(content), (mime.NODE_CONFIG, _GENERATED)]):
        head = type_.encode("utf-8", "surrogateescape")
        out += b"%s--%s\nContent-Type: %s\n\n%s" % (b"\n" * bool(number), _BOUNDARY, head, body)
    return (out + b"\n--%s--\n" % _BOUNDARY).replace(b"\r", b"")


def _entries(content: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each part.

    Raises:
        GoError: Go cannot read it.
    """
    if not content:
        return []
    if not _is_mime(content):
        return [(mime.NODE_CONFIG if _is_mapping(content) else _SHELL, content)]
    archive = gomime.read(content)
    broken = next((part.error for part in archive.parts if part.error), None)
    if broken or (archive.error and not archive.error.cut):
        raise broken or archive.error or ValueError
    return [(part.type, part.content) for part in archive.parts]


def _is_mapping(content: bytes) -> bool:
    """Whether Go reads a mapping out of it, or nothing at all (all of it comments)."""
    try:
        value = goyaml.read(content, maybe_json=False).value
    except ValueError:
        return False
    return value is None or isinstance(value, dict)
