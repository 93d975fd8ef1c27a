"""What Karpenter makes of user data for AL2023: a small model, re-derived from its code, for cloud-init to judge.

karpenter-provider-aws v1.14.1: pkg/providers/amifamily/bootstrap/nodeadm.go (parseUserData, Script) and mime/mime.go
(NewArchive, Serialize). Of a part, its Content-Type and its bytes are kept; Go's mime/multipart decodes
quoted-printable; the boundary is `//`; the generated NodeConfig comes last.
"""

from __future__ import annotations

import email
import quopri
import re

import yaml

GENERATED = b"# Karpenter Generated NodeConfig\napiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {}\n"


def merges(user_data: bytes) -> bytes:
    """The document that the node gets."""
    entries = [*_entries(user_data), (b"application/node.eks.aws", GENERATED)]
    out = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="//"\n\n'
    for number, (type_, content) in enumerate(entries):
        out += (b"\n" if number else b"") + b"--//\nContent-Type: " + type_ + b"\n\n" + content
    return (out + b"\n--//--\n").replace(b"\r", b"")


def _entries(user_data: bytes) -> list[tuple[bytes, bytes]]:
    if not user_data.strip().startswith((b"MIME-Version:", b"Content-Type:")):
        try:
            loaded = yaml.safe_load(user_data)
        except yaml.YAMLError:
            loaded = ""
        mapping = loaded is None or isinstance(loaded, dict)
        return [(b"application/node.eks.aws" if mapping else b'text/x-shellscript; charset="us-ascii"', user_data)]
    boundary = (email.message_from_bytes(user_data).get_boundary() or "").encode()
    raw = re.split(rb"(?:^|\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\n|$)", user_data)[1:-1]
    entries = []
    for part in raw:
        head, _, body = part.lstrip(b"\n").partition(b"\n\n")
        headers = email.message_from_bytes(head + b"\n\n")
        if headers.get("Content-Transfer-Encoding", "").lower() == "quoted-printable":
            body = quopri.decodestring(body)
        entries.append((str(headers.get("Content-Type", "")).encode(), body))
    return entries
