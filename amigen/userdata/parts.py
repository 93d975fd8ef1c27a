"""The parts of a document, as cloud-init decodes and unpacks them."""

from __future__ import annotations

import re
from email.message import Message
from typing import Any

from msgspec.structs import replace

from amigen.base import cloudyaml
from amigen.userdata import mime, packed
from amigen.userdata.finding import Finding, error, warning
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
_HEADER = re.compile(r"(?i)(content-|mime-|x-|merge-|launch-|number-|message-|from\b|date\b|subject\b)")
# Keys of an archive's entry that are no headers.
_KEYS = ("content", "filename", "type", "launch-index", "content-disposition", "content-type")
# What cloud-init knows an entry without a type by.
_STARTS = {type_ for _, type_ in mime.SIGNS}


class Parts:
    """Collects parts in their order, and what is wrong with them.

    Attributes:
        parts: Those of archives stand in the place of the archive.
        problems: What is wrong with them wherever they are used.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.parts: list[Part] = []
        self.problems: list[Finding] = []

    @property
    def where(self) -> str:
        """The part that comes next, in words."""
        return f"part {len(self.parts) + 1}"

    def add(self, part: Part) -> None:
        """Take in a part, or what is in it where it is an archive, or a script that unpacks itself."""
        # An archive in an archive is handed to a handler that there is not.
        if part.type == "text/cloud-config-archive" and "archive" not in part.wrapped:
            self._archive(part)
            return
        try:
            inside = packed.unpack(part.content) if part.type == mime.SHELL else None
            if inside is not None:
                part = replace(part, content=inside, wrapped=(*part.wrapped, packed.WRAPPED))
        except ValueError as broken:
            self.problems.append(error("", "packed", f"{self.where}: {broken}", "make the user data again"))
        self.parts.append(part)

    def add_mail(self, child: Message) -> Part:
        """Decode, unpack and take in a part of a MIME document; gives it back as it was taken in."""
        wrapped: list[str] = []
        try:
            payload = child.get_payload(decode=True)
        except (ValueError, LookupError) as broken:
            payload = b""
            self.problems.append(error("", "encoding", f"{self.where} cannot be decoded: {broken}"))
        content = payload if isinstance(payload, bytes) else b""
        encoding = str(child.get("Content-Transfer-Encoding", "")).strip().lower()
        if encoding in ("base64", "quoted-printable"):
            wrapped.append(encoding)
        type_ = child.get_content_type()
        if type_ in mime.GZIP_TYPES or (type_ == mime.NODE_CONFIG and content[:2] == b"\x1f\x8b"):
            try:
                content = mime.gunzip(content)
                wrapped.append("gzip")
                type_ = mime.detect(content) if type_ in mime.GZIP_TYPES else type_
            except ValueError as broken:
                self.problems.append(error("", "gzip", f"{self.where}: {broken}"))
        self._garbled(content, type_, wrapped)
        if type_ in ("text/plain", "text/x-not-multipart", mime.SHELL):
            seen = mime.detect(content)
            type_ = seen if seen not in ("text/plain", mime.NODE_CONFIG, mime.MULTIPART) else type_
        headers = tuple((key, str(value)) for key, value in child.items() if key.lower() not in _SAID_OTHERWISE)
        if not content.strip() and (odd := [key for key, _ in headers if not _HEADER.match(key)]):
            message = (
                f"{self.where} has no empty line before `{odd[0][:40]}:`, so that this and what follows are headers"
            )
            self.problems.append(error("", "mime-header", message, "put an empty line behind the headers"))
        elif _HEADER.match(content.lstrip().decode("utf-8", "replace")) and "content-type" not in child:
            message = f"{self.where} begins with an empty line, so that its headers are text, and it has no type"
            self.problems.append(error("", "mime-header", message, "remove the empty line"))
        elif type_ == "text/plain":
            message = f"{self.where} is of a kind that cloud-init does not know: it is ignored"
            self.problems.append(warning("", "kind", message, "name its Content-Type"))
        if mime.is_multipart(content):
            self.nested("holds a whole multi-part document")
        type_name = str(child.get_param("name") or "")
        if type_ != child.get_content_type() and "gzip" not in wrapped:
            # cloud-init gives it a new Content-Type, without the old one's name (user_data.py, _process_msg).
            del child["Content-Type"]
        part = Part(
            type=type_,
            content=content,
            filename=child.get_filename() or "",
            type_name=type_name,
            origin=self.origin,
            wrapped=tuple(wrapped),
            headers=headers,
        )
        self.add(part)
        return part

    def nested(self, what: str) -> None:
        """Say that the next part is, or holds, a document of its own."""
        source = "eksctl issue 7895, amazon-eks-ami issue 1988"
        message = f"{self.where} {what}: nodeadm does not look into it"
        self.problems.append(error("", "nested", message, "put its parts into the outer document", source))

    def _garbled(self, content: bytes, type_: str, wrapped: list[str]) -> None:
        """cloud-init takes an unpacked or plain part as text without a charset, and gets it back in raw-unicode-escape.

        What cannot be written as UTF-8 then (U+0080 to U+00FF) makes its handler fail; the rest becomes an escape.
        """
        text = content.decode("utf-8", "surrogateescape")
        broken = any("\ud800" <= char <= "\udfff" for char in text)
        coded = bool(wrapped) and "gzip" not in wrapped
        if content.isascii() or type_ == mime.NODE_CONFIG or (coded and not broken):
            return
        how = "in base64, is not UTF-8" if coded else "packed" if wrapped else "without a transfer encoding"
        dropped = broken or any("\x80" <= char <= "\xff" for char in text)
        then = "cloud-init drops the whole part" if dropped else "cloud-init garbles it"
        line = content.count(b"\n", 0, next(n for n, byte in enumerate(content) if byte > 127)) + 1
        message = f"{self.where} is {how}, and holds more than ASCII (line {line} of the part): {then}"
        hint = "carry the part in base64 alone, or let amigen user-data --merge do it"
        source = "cloudinit/user_data.py, _process_msg; cloudinit/util.py, fully_decoded_payload"
        self.problems.append((error if dropped else warning)("cloud-init", "not-ascii", message, hint, source))

    def _archive(self, archive: Part) -> None:
        """The entries, which cloud-init handles as parts."""
        try:
            entries = cloudyaml.read(archive.content)
            why = "" if isinstance(entries, list) else "is not a list"
        except ValueError as broken:
            entries, why = [], str(broken)
        if why:
            self._ignored(f"{self.where} is an archive and {why}: cloud-init runs nothing of it")
            return
        for entry in entries:
            self._entry(entry, archive)

    def _entry(self, entry: Any, archive: Part) -> None:
        """cloudinit/user_data.py, _explode_archive."""
        where = f"{self.where}, in an archive,"
        entry = {"content": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict):
            self._ignored(f"{where} is neither text nor a mapping: cloud-init skips it")
            return
        content = str(entry.get("content") or "").encode("utf-8", "surrogateescape")
        seen = mime.detect(content)
        type_ = str(entry.get("type") or (seen if seen in _STARTS else mime.CLOUD_CONFIG)).lower()
        if type_ == mime.NODE_CONFIG:
            self._ignored(f"{where} is a NodeConfig: nodeadm does not look into archives", "nodeadm")
        elif "/" not in type_:
            self._ignored(f"{where} has the type {type_[:40]!r}: cloud-init gives up on all of the user data")
        else:
            part = Part(
                type=type_,
                content=content,
                filename=str(entry.get("filename") or ""),
                origin=archive.origin,
                wrapped=(*archive.wrapped, "archive"),
                headers=tuple((str(key), str(v)) for key, v in entry.items() if str(key).lower() not in _KEYS),
            )
            self.add(part)

    def _ignored(self, message: str, reader: Any = "cloud-init") -> None:
        source = "cloudinit/user_data.py, _explode_archive"
        self.problems.append(error(reader, "archive", message, "put it into a part of its own", source))
