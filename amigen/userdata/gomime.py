"""Read MIME as Go does, so that what nodeadm and Karpenter refuse is refused here with the place and the reason.

Python's `email` repairs what Go's packages refuse. One idea: the bytes of a document as Go 1.26 sees them: net/mail
(message.go), net/textproto (reader.go), mime/multipart (multipart.go), mime/quotedprintable (reader.go). nodeadm calls
them in internal/configprovider/mime.go, Karpenter in pkg/providers/amifamily/bootstrap/mime/mime.go.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from amigen.userdata import mime
from amigen.userdata.gomediatype import TOKEN, media_type

# bufio's buffer in mime/multipart: a line before the first boundary must fit.
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

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, message: str, line: int, rule: Rule) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.rule: Rule = rule
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
        cut: It ends without a boundary line where Go's reader says EOF: Karpenter takes that for the end, nodeadm not.
    """

    multipart: bool
    parts: tuple[GoPart, ...] = ()
    error: GoError | None = None
    cut: bool = False

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
    try:
        headers, place = _message_headers(document)
        kind, params = _type_of(headers, 1)
        if not kind.startswith("multipart/"):
            raise GoError(f"is {kind}, and not multi-part", 1, "media type")
    except GoError as error:
        return Archive(multipart=False, error=error)
    boundary = params.get("boundary", "").encode("utf-8", "surrogateescape")
    if not boundary:
        return Archive(multipart=True, error=GoError("the boundary is empty", 1, "boundary"))
    return _Reader(document, place, b"--" + boundary).archive()


def node_configs(content: bytes) -> tuple[list[bytes], GoError | None]:
    """What nodeadm decodes of user data or of a drop-in, unpacked, and why it refuses the MIME around it.

    Source: nodeadm internal/configprovider/mime.go, ParseMaybeMultipart.
    """
    archive = read(content)
    return (archive.node_configs(), archive.refusal()) if archive.multipart else ([content], None)


def _type_of(headers: list[tuple[str, str, int]], line: int) -> tuple[str, dict[str, str]]:
    value, line = next(((text, at) for key, text, at in headers if key == "content-type"), ("", line))
    try:
        return media_type(value)
    except ValueError as error:
        raise GoError(f"Content-Type: {error}", line, "media type") from None


def _line(document: bytes, place: int) -> int:
    return document.count(b"\n", 0, place) + 1


def _headers(document: bytes, place: int) -> tuple[list[tuple[bytes, int, int]], int, bool]:
    """Header lines from a place on, unfolded: each with its place and the end of its first line.

    Returns:
        The lines, where the body begins, and whether there is an empty line before it.
    """
    lines: list[tuple[bytes, int, int]] = []
    while place < len(document):
        end = document.find(b"\n", place)
        end = len(document) if end < 0 else end
        text = document[place:end]
        if end < len(document):
            text = text.removesuffix(b"\r")
        following = min(end + 1, len(document))
        if not text:
            return lines, following, True
        if lines and text[:1] in b" \t":
            before, at, first = lines[-1]
            lines[-1] = (before + b" " + text.strip(b" \t"), at, first)
        else:
            lines.append((text.strip(b" \t"), place, len(text.strip(b" \t"))))
        place = following
    return lines, place, False


def _message_headers(document: bytes) -> tuple[list[tuple[str, str, int]], int]:
    """`mail.ReadMessage`: lower-case names with their values, and where the body begins.

    Raises:
        GoError: A line is no header.
    """
    if document[:1] in (b" ", b"\t"):
        raise GoError("the first line begins with a blank", 1, "header")
    lines, place, _ = _headers(document, 0)
    if not document:
        raise GoError("is empty", 1, "empty")
    found = []
    for text, at, _end in lines:
        name, colon, value = text.partition(b":")
        if not colon:
            raise GoError(_no_header(text), _line(document, at), "header")
        # Names that are no tokens are kept as they are, and so never found.
        token = TOKEN.fullmatch(name.decode("latin-1"))
        key = token[0].lower() if token else ""
        found.append((key, value.lstrip(b" \t").decode("utf-8", "surrogateescape"), _line(document, at)))
    return found, place


def _no_header(text: bytes) -> str:
    shown = text[:60].decode("utf-8", "replace")
    return f"{shown!r} is not a header line: an empty line is missing before it, or a colon in it"


class _Reader:
    """`multipart.Reader`, on bytes."""

    def __init__(self, document: bytes, place: int, dashes: bytes) -> None:
        self.document = document
        self.place = place
        self.dashes = dashes
        self.newline = b"\r\n"
        self.parts: list[GoPart] = []

    def archive(self) -> Archive:
        """All parts, and the error that ends them."""
        error, cut = None, False
        try:
            while self._to_next():
                if not self._part():
                    break
        except EOFError:
            text = "is not closed: the line " + self.dashes.decode("utf-8", "replace") + "-- is missing at the end"
            if not self.parts:
                text = f"has no line {self.dashes.decode('utf-8', 'replace')}, the boundary that its header names"
            error, cut = GoError(text, _line(self.document, len(self.document)), "end"), True
            other = b"\n" if self.newline == b"\r\n" else b"\r\n"
            place = self.document.find(other + self.dashes) if self.parts else -1
            if place >= 0:
                ends = "LF" if self.newline == b"\n" else "CRLF"
                text = f"line ends are mixed: the first boundary line ends in {ends}, and a later one does not"
                error = GoError(text, _line(self.document, place + len(other)), "line ends")
        except GoError as found:
            error = found
        return Archive(multipart=True, parts=tuple(self.parts), error=error, cut=cut)

    def _error(self, message: str, place: int, rule: Rule) -> GoError:
        return GoError(message, _line(self.document, place), rule)

    def _to_next(self) -> bool:
        """Behind the next boundary line; False at the closing one.

        Raises:
            EOFError: There is none.
            GoError: Something else stands there.
        """
        expected = False
        while True:
            at, end = self.place, self.document.find(b"\n", self.place) + 1
            line = self.document[at : end or len(self.document)]
            if len(line) > _LONGEST_LINE:
                raise self._error(f"a line before a boundary has more than {_LONGEST_LINE} bytes", at, "boundary")
            rest = line.removeprefix(self.dashes)
            is_ours = line.startswith(self.dashes)
            if is_ours and rest.startswith(b"--") and rest[2:].lstrip(b" \t") in (b"", self.newline):
                return False
            if not end:
                raise EOFError
            self.place = end
            if is_ours and not self.parts and rest.lstrip(b" \t") == b"\n":
                self.newline = b"\n"
            if is_ours and rest.lstrip(b" \t") == self.newline:
                return True
            if expected or (self.parts and line != self.newline):
                raise self._unexpected(line, at)
            # Before the first boundary any line is skipped; later, the line end that belongs to the boundary.
            expected = bool(self.parts)

    def _unexpected(self, line: bytes, at: int) -> GoError:
        shown = line[:60].decode("utf-8", "replace")
        if line.replace(b"\r", b"").rstrip(b" \t\n").removesuffix(b"--") == self.dashes:
            ends = "LF" if self.newline == b"\n" else "CRLF"
            return self._error(f"{shown!r}: line ends are mixed: the first boundary ends in {ends}", at, "line ends")
        return self._error(f"{shown!r} begins like a boundary line and is not one", at, "boundary")

    def _part(self) -> bool:
        """One part; False where the document ends in its headers, which Go takes for the end of all."""
        begin = self.place
        if self.document[begin : begin + 1] in (b" ", b"\t"):
            raise self._error(f"part {len(self.parts) + 1}: the first line begins with a blank", begin, "header")
        lines, place, complete = _headers(self.document, begin)
        type_, encoding = "", ""
        for text, at, first in lines:
            name, colon, value = text.partition(b":")
            if b":" not in text[:first] or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z \-]+", name):
                raise self._error(f"part {len(self.parts) + 1}: {_no_header(text)}", at, "header")
            if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
                message = f"part {len(self.parts) + 1}: a control character in the header {name.decode()}"
                raise self._error(message, at, "header")
            said = value.lstrip(b" \t").decode("utf-8", "surrogateescape")
            if name.lower() == b"content-type" and colon:
                type_ = type_ or said
            if name.lower() == b"content-transfer-encoding":
                encoding = encoding or said
        if not complete:
            self.place = len(self.document)
            return False
        self.place = place
        content, error = self._body()
        if encoding.lower() == "quoted-printable":
            content, broken = _quoted_printable(content)
            if broken and not error:
                error = self._error(f"part {len(self.parts) + 1}: {broken}", place, "encoding")
        line = _line(self.document, begin)
        self.parts.append(GoPart(type=type_, content=content, line=line, error=error))
        return True

    def _body(self) -> tuple[bytes, GoError | None]:
        after = rb"(?=[ \t\r\n]|--|\Z)"
        begin = self.place
        if re.compile(re.escape(self.dashes) + after).match(self.document, begin):
            return b"", None
        found = re.compile(re.escape(self.newline + self.dashes) + after).search(self.document, begin)
        self.place = found.start() if found else len(self.document)
        error = None
        if not found:
            error = self._error(f"part {len(self.parts) + 1} ends with the document", len(self.document), "end")
        return self.document[begin : self.place], error


def _quoted_printable(content: bytes) -> tuple[bytes, str]:
    """Decoded as mime/quotedprintable does, and what it refuses."""
    out = bytearray()
    lines = content.splitlines(keepends=True) if b"\r" not in content else re.findall(rb"[^\n]*\n|[^\n]+", content)
    for number, whole in enumerate(lines, 1):
        line = whole.rstrip(b"\n\r \t")
        end = b""
        if line.endswith(b"="):
            rest = whole[len(line) :].lstrip(b" \t")
            line = line[:-1]
            last = number == len(lines) and not whole.endswith(b"\n")
            if not rest.startswith((b"\n", b"\r\n")) and not (not rest and line and last):
                return bytes(out), "invalid bytes after = in quoted-printable"
        elif whole.endswith(b"\n"):
            end = b"\r\n" if whole.endswith(b"\r\n") else b"\n"
        broken = re.search(rb"=\Z|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", line)
        if broken:
            return bytes(out), "invalid bytes in quoted-printable"
        out += re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), line) + end
    return bytes(out), ""
