"""What EC2 counts: the bytes before base64, at most 16 KB.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

LIMIT = 16384


@dataclass(frozen=True, kw_only=True)
class Size:
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
