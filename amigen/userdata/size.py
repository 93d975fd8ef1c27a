"""What EC2 counts: the bytes before base64, at most 16 KB.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

from msgspec import Struct

LIMIT = 16384
# Up to here, the scripts of many images are the same; see templates/bootstrap.sh.jinja.
_OWN = b"\n# For the image "


class Size(Struct, frozen=True, kw_only=True):
    """Bytes of a document or part: raw, as gzip, and in base64 (of the raw bytes)."""

    raw: int
    gzip: int
    base64: int


def gzip(content: bytes) -> bytes:
    """Deterministic gzip: no time, no name (and half the import of the gzip module)."""
    own = max(content.find(_OWN), 0)
    packed, begun = _begun(content[:own])
    packer = begun.copy()
    rest: bytes = packer.compress(content[own:]) + packer.flush()
    return packed + rest


# Packing takes longer than all the rest of a document, and goes on from here to the same bytes as in one go.
@lru_cache(maxsize=4)
def _begun(beginning: bytes) -> tuple[bytes, Any]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(beginning), packer


def size_of(content: bytes) -> Size:
    """All three sizes."""
    return Size(raw=len(content), gzip=len(gzip(content)), base64=(len(content) + 2) // 3 * 4)
