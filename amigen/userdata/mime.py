"""MIME multi-part user data: written deterministically, and read as cloud-init and nodeadm read it.

Sources: https://cloudinit.readthedocs.io/en/latest/explanation/format.html (types, `#` signs),
cloudinit/user_data.py (gzip parts), awslabs/amazon-eks-ami nodeadm/internal/configprovider/mime.go (NodeConfig).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from msgspec import Struct
from msgspec.structs import replace

from amigen.base import gzipped

SHELL = "text/x-shellscript"
CLOUD_CONFIG = "text/cloud-config"
NODE_CONFIG = "application/node.eks.aws"
BOOTHOOK = "text/cloud-boothook"
# Scripts that cloud-init runs at other times than `scripts-user` (cloudinit/handlers/shell_script_by_frequency.py).
BY_FREQUENCY = tuple(f"text/x-shellscript-{when}" for when in ("per-once", "per-boot", "per-instance"))
MULTIPART = "multipart/mixed"
BOM = b"\xef\xbb\xbf"
# Byte order marks of UTF-16, which Go's YAML reads, and which Windows' editors and shells write.
UTF16 = (b"\xff\xfe", b"\xfe\xff")
# What cloud-init unpacks by the part's type (cloudinit/user_data.py, DECOMP_TYPES).
_PACKED = (
    "gzip",
    "gzip-compressed",
    "gzipped",
    "x-compress",
    "x-compressed",
    "x-gunzip",
    "x-gzip",
    "x-gzip-compressed",
)
GZIP_TYPES = frozenset(f"application/{name}" for name in _PACKED)
# The first characters that tell cloud-init what a document is (cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP).
SIGNS: tuple[tuple[str, str], ...] = (
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#!", SHELL),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", CLOUD_CONFIG),
    ("#part-handler", "text/part-handler"),
    ("#cloud-boothook", BOOTHOOK),
    ("## template: jinja", "text/jinja2"),
)
# Far above EC2's limit, so that a small gzip bomb cannot take the memory.
MAX_UNPACKED = 4 * 1024 * 1024


class Part(Struct, frozen=True, kw_only=True):
    """One part of user data.

    Attributes:
        type: MIME type, after unpacking and after cloud-init's look at the first characters.
        content: The content, decoded and unpacked.
        filename: Name under which cloud-init stores a script; scripts run in the order of their names.
        type_name: The parameter `name` of its Content-Type, which those keep who drop all other headers.
        origin: Who brought it: `amigen`, `yours`, or the name of a system.
        wrapped: `gzip`, `base64`, `quoted-printable` or `self-unpacking`, as it stood in the document.
        headers: What else its header said, such as `Merge-Type`, which decides how cloud-init merges cloud-config.
    """

    type: str
    content: bytes
    filename: str = ""
    type_name: str = ""
    origin: str = "yours"
    wrapped: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


def detect(content: bytes) -> str:
    """The MIME type that cloud-init gives to a document by its first characters; `text/plain` where it knows none."""
    if content[:2] in UTF16:
        content = content.decode("utf-16", "replace").encode()
    head = content[:1024].decode("utf-8", "replace").lstrip()[:64].lower()
    if is_multipart(content):
        return MULTIPART
    for sign, type_ in SIGNS:
        if head.startswith(sign):
            return type_
    if stray_line(content):
        return "text/plain"
    json = content.lstrip().startswith(b"{") and b"node.eks.aws/" in content
    if json or re.search(rb"(?m)^(apiVersion|\"apiVersion\"): *[\"']?node\.eks\.aws/", content):
        return NODE_CONFIG
    return "text/plain"


def effective(part: Part) -> Part:
    """The part as cloud-init runs it: a jinja template is rendered, and what it begins with then says its type."""
    if part.type != "text/jinja2":
        return part
    inner = part.content.partition(b"\n")[2]
    type_ = detect(inner)
    return replace(part, type=type_, content=inner) if type_ in (SHELL, CLOUD_CONFIG) else part


def is_multipart(content: bytes) -> bool:
    """Whether there are MIME headers at the top that name a multi-part type, also where no empty line ends them."""
    # One way only to match each line: `[ \t]+[^\n]*` would take years over a NodeConfig's indented lines.
    match = re.match(rb"(?:\xef\xbb\xbf)?\s*((?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+)(\r?\n|--)?", content[:8192])
    if not match or not re.search(rb"(?im)^content-type:[ \t]*multipart/", match[1]):
        return False
    return bool(match[2]) or re.match(rb"(?i)(?:\xef\xbb\xbf)?\s*(mime-version|content-type):", content) is not None


def stray_line(content: bytes) -> int:
    """The line that stands before or among headers of a multi-part document, so that nobody reads them; 0 for none.

    Comments and `---` only: a script or NodeConfig that holds such a document, as text, is none.
    """
    found = re.search(rb"(?im)^[ \t]*content-type:[ \t]*multipart/", content[:8192])
    before = content[: found.start()].split(b"\n")[:-1] if found and not is_multipart(content) else []
    headers = [re.match(rb"(?i)(mime-version|content-[a-z-]+|from|number-attachments|x-[\w-]+):", s) for s in before]
    if not all(header or re.match(rb"\s*(#.*|-*)\s*\Z", line) for header, line in zip(headers, before, strict=True)):
        return 0
    return next((number for number, header in enumerate(headers, 1) if not header), 0)


def unpack(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take off base64 and gzip around a whole document, as nodeadm does (configprovider/encoding.go).

    Line ends alone may stand in base64, as Go has it.

    Raises:
        ValueError: gzip that is broken, or larger than MAX_UNPACKED.
    """
    wrapped: list[str] = []
    compact = content.translate(None, b"\r\n")
    if len(compact) >= 8 and len(compact) % 4 == 0 and re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}", compact):
        try:
            content = base64.b64decode(compact, validate=True)
            wrapped.append("base64")
        except binascii.Error:
            pass
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content)
        wrapped.append("gzip")
    return content, tuple(wrapped)


def gunzip(content: bytes) -> bytes:
    """Unpack; raises ValueError for what is broken, or larger than MAX_UNPACKED."""
    return gzipped.gunzip(content, MAX_UNPACKED)


def write(parts: tuple[Part, ...]) -> bytes:
    """A multi-part document; the boundary comes from the content, so that the same parts give the same bytes."""
    bodies = [_body(part) for part in parts]
    everything = b"\0".join(body for _, body in bodies)
    number = 0
    while True:
        boundary = "==amigen-" + hashlib.sha256(b"%d" % number + everything).hexdigest()[:4] + "=="
        if boundary.encode() not in everything:
            break
        number += 1
    lines = [f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{boundary}"\n\n'.encode()]
    for headers, body in bodies:
        # The line end before a boundary is the boundary's (RFC 2046, 5.1.1), so that a part keeps its own last one.
        lines.append(f"--{boundary}\n{headers}\n".encode() + body + b"\n")
    lines.append(f"--{boundary}--\n".encode())
    return b"".join(lines)


def _body(part: Part) -> tuple[str, bytes]:
    """Headers and body of a part."""
    # Somebody else's name or header may hold what would end the quotes or the header.
    name = re.sub(r"[^A-Za-z0-9._ +=@-]", "_", part.filename)
    more = f'Content-Disposition: attachment; filename="{name}"\n' if name else ""
    for key, value in part.headers:
        more += f"{re.sub(r'[^A-Za-z0-9-]', '_', key)}: {' '.join(re.sub(r'[^!-~]+', ' ', value).split())}\n"
    if is_plain(part.content):
        return f"Content-Type: {part.type}\n{more}", part.content
    # nodeadm decodes base64 in a part too, and no mail library between here and the node can change a byte of it.
    headers = f'Content-Type: {part.type}; charset="utf-8"\nContent-Transfer-Encoding: base64\n{more}'
    return headers, base64.encodebytes(part.content)


def is_plain(content: bytes) -> bool:
    """Whether it can stand in a part as it is: anything but ASCII reaches cloud-init's handlers garbled.

    cloudinit/user_data.py decodes the whole document, and email's `get_payload(decode=True)` gives a part without a
    transfer encoding back in raw-unicode-escape.
    """
    return content.isascii() and b"\0" not in content and b"\r" not in content


def cleaned(name: str) -> str:
    """A file name as cloud-init writes it (cloudinit/util.py, clean_filename)."""
    return re.sub(r"[^A-Za-z0-9_.()-]", "", name.replace("/", "_"))


def run_name(part: Part, number: int) -> str:
    """The name under which cloud-init stores the part at this place; it runs scripts in the order of these names.

    Source: cloudinit/user_data.py (PART_FN_TPL), cloudinit/handlers/shell_script.py, cloudinit/subp.py (runparts).
    """
    return cleaned(part.filename) or f"part-{number:03d}"
