"""What EC2 counts: the bytes before base64, at most 16 KB.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
"""

from __future__ import annotations

import zlib

from msgspec import Struct

LIMIT = 16384


class Size(Struct, frozen=True, kw_only=True):
    """Bytes of a document or part: raw, as gzip, and in base64 (of the raw bytes)."""

    raw: int
    gzip: int
    base64: int


def gzip(content: bytes) -> bytes:
    """Deterministic gzip: no time, no name (and half the import of the gzip module)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def size_of(content: bytes) -> Size:
    """All three sizes."""
    return Size(raw=len(content), gzip=len(gzip(content)), base64=(len(content) + 2) // 3 * 4)
