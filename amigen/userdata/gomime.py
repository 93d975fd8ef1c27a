"""Read MIME as Go does, so that what nodeadm and Karpenter refuse is refused here with the place and the reason.

Python's `email` repairs what Go's packages refuse. One idea: the bytes of a document as Go 1.26 sees them: net/mail
(message.go), net/textproto (reader.go), mime/multipart (multipart.go), mime/quotedprintable (reader.go). nodeadm calls
them in internal/configprovider/mime.go, Karpenter in pkg/providers/amifamily/bootstrap/mime/mime.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from amigen.userdata import mime
from amigen.userdata.gomediatype import media_type

# bufio's buffer in mime/multipart: a line before a boundary must fit.
_LONGEST_LINE = 4096

Rule = Literal["header", "boundary", "media type", "end", "line ends", "empty", "encoding"]
_HINTS: dict[Rule, str] = {
    "header": "put an empty line between the headers and what follows them",
    "boundary": "write each boundary alone in its line",
    "media type": "separate parameters by `;`, and put the boundary into double quotes",
    "end": "end the document with the boundary and two more hyphens",
    "line ends": "save the file with Unix line ends",
    "encoding": "write the part without a transfer encoding",
    "empty": "",
}


class GoError(ValueError):
    """Go refuses the document.

    Args:
        message: What Go refuses, in a sentence without the place.
        line: Line of the document, from 1.
        rule: Which kind of rule, for those who repair.
        cut: The document ends without a boundary line where Go's reader says EOF: Karpenter takes that for the end,
            nodeadm not.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, message: str, line: int, rule: Rule, *, cut: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.rule: Rule = rule
        self.cut = cut
        self.hint = _HINTS[rule]


class GoPart(Struct, frozen=True, kw_only=True):
    """A part as `multipart.Reader.NextPart` gives it.

    Attributes:
        type: The Content-Type header as it stands; empty where there is none.
        content: The body; quoted-printable is decoded, base64 is not.
        line: The line of the document at which its headers begin, from 1.
        error: Why the body cannot be read, which only those see who read it.
    """

    type: str
    content: bytes
    line: int
    error: GoError | None = None


class Archive(Struct, frozen=True, kw_only=True):
    """A document as Go reads it.

    Attributes:
        multipart: Go finds headers that name a multi-part type; if not, nodeadm takes all of it for a NodeConfig.
        parts: The parts up to the error.
        error: Why it stops there; None for a document that is read to its end.
    """

    multipart: bool
    parts: tuple[GoPart, ...] = ()
    error: GoError | None = None

    def refusal(self) -> GoError | None:
        """Why nodeadm refuses the document; None where it reads it."""
        for part in self.parts:
            if not part.type:
                continue
            try:
                kind, _ = media_type(part.type)
            except ValueError as error:
                return GoError(f"Content-Type: {error}", part.line, "media type")
            if kind == mime.NODE_CONFIG and part.error and part.error.rule == "encoding":
                return part.error
        return self.error

    def node_configs(self) -> list[bytes]:
        """The NodeConfigs in it, unpacked."""
        found = []
        for part in self.parts:
            try:
                if media_type(part.type)[0] == mime.NODE_CONFIG:
                    found.append(mime.unpack(part.content)[0])
            except ValueError:
                continue
        return found


def read(document: bytes) -> Archive:
    """A document as nodeadm and Karpenter read it; never raises."""
    line = 1
    try:
        headers, place = _headers(document, 0)
        value, line = headers.get(b"content-type", ("", 1))
        kind, boundary = media_type(value)
    except GoError as error:
        return Archive(multipart=False, error=error)
    except ValueError as error:
        return Archive(multipart=False, error=GoError(f"Content-Type: {error}", line, "media type"))
    if not kind.startswith("multipart/"):
        return Archive(multipart=False, error=GoError(f"is {kind}, and not multi-part", 1, "media type"))
    if not boundary:
        return Archive(multipart=True, error=GoError("the boundary is empty", 1, "boundary"))
    parts: list[GoPart] = []
    try:
        for part in _Reader(document, b"--" + boundary.encode("utf-8", "surrogateescape")).parts(place):
            parts.append(part)
    except GoError as error:
        return Archive(multipart=True, parts=tuple(parts), error=error)
    return Archive(multipart=True, parts=tuple(parts))


def node_configs(content: bytes) -> tuple[list[bytes], GoError | None]:
    """What nodeadm decodes of user data or of a drop-in, unpacked, and why it refuses the MIME around it.

    Source: nodeadm internal/configprovider/mime.go, ParseMaybeMultipart.
    """
    archive = read(content)
    return (archive.node_configs(), archive.refusal()) if archive.multipart else ([content], None)


def _line(document: bytes, place: int) -> int:
    return document.count(b"\n", 0, place) + 1


_END_OF_HEADERS = re.compile(rb"(?m)^\r?\n")
# A header with the lines that continue it.
_HEADER = re.compile(rb"(?m)^.+\n?(?:[ \t].*\n?)*")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z \-]+")


def _headers(document: bytes, place: int, part: int = 0) -> tuple[dict[bytes, tuple[str, int]], int]:
    """`mail.ReadMessage`, or for a part, by its number, `textproto.Reader.ReadMIMEHeader`, which refuses more.

    Returns:
        Value and line by name in lower case, and where the body begins; -1 where no empty line ends the headers.

    Raises:
        GoError: A line is no header.
    """
    where, begin = f"part {part}: " if part else "", _line(document, place)
    if document[place : place + 1] in (b" ", b"\t"):
        raise GoError(f"{where}the first line begins with a blank", begin, "header")
    if not document:
        raise GoError("is empty", 1, "empty")
    end = _END_OF_HEADERS.search(document, place)
    block = document[place : end.start() if end else None].replace(b"\r\n", b"\n")
    found: dict[bytes, tuple[str, int]] = {}
    line = begin
    for header in _HEADER.finditer(block):
        first, *more = (piece.strip(b" \t") for piece in header[0].removesuffix(b"\n").split(b"\n"))
        text = b" ".join([first, *more])
        name, colon, value = text.partition(b":")
        if not colon or (part and not (b":" in first and _NAME.fullmatch(name))):
            shown = text[:60].decode("utf-8", "replace")
            message = f"{where}{shown!r} is not a header line: an empty line is missing before it, or a colon in it"
            raise GoError(message, line, "header")
        if part and re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise GoError(f"{where}a control character in the header {name.decode()}", line, "header")
        found.setdefault(name.lower(), (value.lstrip(b" \t").decode("utf-8", "surrogateescape"), line))
        line += header[0].count(b"\n")
    return found, end.end() if end else -1


class _Reader:
    """`multipart.Reader`, on bytes."""

    def __init__(self, document: bytes, dashes: bytes) -> None:
        self.document = document
        self.dashes = dashes
        self.newline = b"\r\n"

    def parts(self, place: int) -> Iterator[GoPart]:
        """The parts behind a place.

        Raises:
            GoError: Something else stands in place of a boundary line.
        """
        boundary = re.compile(re.escape(self.dashes) + rb"(?=[ \t\r\n]|--|\Z)")
        number = 0
        while (begin := self._behind_boundary(place, number)) >= 0:
            number += 1
            headers, body = _headers(self.document, begin, number)
            if body < 0:
                return  # Go takes that for the end of all.
            found = boundary.match(self.document, body)
            found = found or re.compile(self.newline + boundary.pattern).search(self.document, body)
            place = found.start() if found else len(self.document)
            content, error = self.document[body:place], None
            if not found:
                error = GoError(f"part {number} ends with the document", _line(self.document, place), "end")
            if headers.get(b"content-transfer-encoding", ("", 0))[0].lower() == "quoted-printable":
                content, broken = _quoted_printable(content)
                if broken and not error:
                    error = GoError(f"part {number}: {broken}", _line(self.document, body), "encoding")
            type_, _ = headers.get(b"content-type", ("", 0))
            yield GoPart(type=type_, content=content, line=_line(self.document, begin), error=error)

    def _behind_boundary(self, place: int, number: int) -> int:
        """The place behind the next boundary line, after so many parts; -1 where it is the closing one.

        Before the first boundary any line is skipped; later, the line end that belongs to the boundary.

        Raises:
            GoError: Something else stands there.
        """
        while True:
            end = self.document.find(b"\n", place) + 1 or len(self.document)
            line = self.document[place:end]
            if len(line) > _LONGEST_LINE:
                message = f"a line before a boundary has more than {_LONGEST_LINE} bytes"
                raise GoError(message, _line(self.document, place), "boundary")
            if line.startswith(self.dashes):
                if not number and re.fullmatch(re.escape(self.dashes) + rb"[ \t]*\n", line):
                    self.newline = b"\n"
                ours = re.fullmatch(re.escape(self.dashes) + rb"(--)?[ \t]*(%s)?" % self.newline, line)
                if ours and (ours[1] or ours[2]):
                    return -1 if ours[1] else end
            if not line.endswith(b"\n"):
                raise self._cut(number)
            if number and line != self.newline:
                raise self._unexpected(line, place)
            place = end

    def _cut(self, number: int) -> GoError:
        shown, other = self.dashes.decode("utf-8", "replace"), b"\n" if self.newline == b"\r\n" else b"\r\n"
        place = self.document.find(other + self.dashes) if number else -1
        if place >= 0:
            message = f"line ends are mixed: the first boundary line ends in {self._ends}, and a later one does not"
            return GoError(message, _line(self.document, place + len(other)), "line ends", cut=True)
        message = f"is not closed: the line {shown}-- is missing at the end"
        message = message if number else f"has no line {shown}, the boundary that its header names"
        return GoError(message, _line(self.document, len(self.document)), "end", cut=True)

    def _unexpected(self, line: bytes, place: int) -> GoError:
        shown = line[:60].decode("utf-8", "replace")
        if line.replace(b"\r", b"").rstrip(b" \t\n").removesuffix(b"--") == self.dashes:
            message = f"{shown!r}: line ends are mixed: the first boundary ends in {self._ends}"
            return GoError(message, _line(self.document, place), "line ends")
        return GoError(f"{shown!r} begins like a boundary line and is not one", _line(self.document, place), "boundary")

    @property
    def _ends(self) -> str:
        return "LF" if self.newline == b"\n" else "CRLF"


def _quoted_printable(content: bytes) -> tuple[bytes, str]:
    """Decoded as mime/quotedprintable does, and what it refuses."""
    out = bytearray()
    lines = content.split(b"\n")
    for number, whole in enumerate(lines, 1):
        last = number == len(lines)
        line = whole.rstrip(b"\r \t")
        end = b"" if last else b"\r\n" if whole.endswith(b"\r") else b"\n"
        if line.endswith(b"="):
            rest = whole[len(line) :].lstrip(b" \t")
            line, end = line[:-1], b""
            if rest not in (b"", b"\r") or (last and (rest or not line)):
                return bytes(out), "invalid bytes after = in quoted-printable"
        if re.search(rb"=\Z|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", line):
            return bytes(out), "invalid bytes in quoted-printable"
        out += re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), line) + end
    return bytes(out), ""
