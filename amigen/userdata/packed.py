"""A script that unpacks itself: plain ASCII to everything between here and the node, a third of the size.

What merges user data keeps the text of a part, and not always its headers: Karpenter drops Content-Transfer-Encoding,
after which cloud-init cannot read an `application/gzip` part and gives up on all of the user data
(karpenter-provider-aws pkg/providers/amifamily/bootstrap/mime/mime.go; cloudinit/user_data.py, _process_msg). A shell
script whose text is ASCII needs no header to be right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from msgspec.structs import replace

from amigen.base.gzipped import gzip
from amigen.base.templates import render
from amigen.checks.model import InstallGate
from amigen.userdata import mime
from amigen.userdata.mime import Part
from amigen.userdata.size import LIMIT

FOLDER = "/var/lib/amigen/unpacked"
# amigen's own: where there is room also on a disk that is full or read-only, for it has to close the gate then. Debian
# lets no program be started from there, but bash reads it.
OWN_FOLDER = "/run/amigen/unpacked"
WRAPPED = "self-unpacking"
_MARK = b"#!/usr/bin/env bash\n# Packed by amigen: "
# Compiled where they are used: packing needs neither.
_PAYLOAD = rb"\n(?:  |\t)base64 -d <<'PACKED' \|[^\n]*\n([A-Za-z0-9+/=\n]*)\nPACKED\n"
_BOUNDARY = rb'MIME-Version: 1\.0\nContent-Type: multipart/mixed; boundary="(==amigen-[0-9a-f]+==)"\n'
_TOO_LARGE = f"would be too large for the {LIMIT} bytes of EC2's user data"
_NOT_PLAIN = "holds more than ASCII, which cloud-init garbles in a plain part"


def pack(part: Part, gate: InstallGate | None = None) -> Part:
    """The script as one that unpacks itself; where that is no gain, and not needed, it stays plain.

    Args:
        part: A script.
        gate: What amigen's script would install: where that cannot be unpacked, its units are held all the same.
    """
    if part.content.startswith(_MARK):
        return part
    content = unix_lines(part.content)
    plain = mime.is_plain(content)
    name = mime.cleaned(part.filename) or f"{hashlib.sha256(content).hexdigest()[:12]}.sh"
    own = part.origin == "amigen"
    text = render(
        "templates",
        "self-unpacking.sh.jinja",
        name=name,
        own=own,
        why=_TOO_LARGE if plain else _NOT_PLAIN,
        path=f"{OWN_FOLDER if own else FOLDER}/{name}",
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        units=gate.units if gate and own else (),
        drop_in=gate.drop_ins[0].content.decode() if gate else "",
        payload=base64.encodebytes(gzip(content)).decode().rstrip("\n"),
    )
    if plain and len(text) >= len(content):
        return replace(part, content=content)
    return replace(part, content=text.encode())


def unpack(content: bytes) -> bytes | None:
    """The script inside; None for a script of another kind.

    Raises:
        ValueError: It says that it is packed, and what is in it cannot be unpacked.
    """
    if not content.startswith(_MARK):
        return None
    found = re.search(_PAYLOAD, content)
    if not found:
        raise ValueError("the packed script has lost its payload")
    try:
        payload = base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the payload of the packed script is broken: {error}") from None
    return mime.gunzip(payload)


def settled(document: bytes) -> bytes:
    """A document of ours without what depends on the zlib at work: zlib and zlib-ng pack the same bytes differently."""
    boundary = re.match(_BOUNDARY, document)
    if boundary:
        document = document.replace(boundary[1], b"boundary")
    return re.sub(_PAYLOAD, _settled, document)


def _settled(found: re.Match[bytes]) -> bytes:
    try:
        inside = mime.gunzip(base64.b64decode(b"".join(found[1].split()), validate=True))
    except ValueError:
        return found[0]
    return found[0].replace(found[1], hashlib.sha256(inside).hexdigest().encode())


def unix_lines(content: bytes) -> bytes:
    """A script as cloud-init writes it to the disk: DOS line ends are taken off where the first line has one.

    Source: cloudinit/util.py, dos2unix.
    """
    first = content.find(b"\n")
    return content.replace(b"\r\n", b"\n") if first > 0 and content[first - 1 : first] == b"\r" else content
