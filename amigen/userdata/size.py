"""What EC2 counts: the bytes before base64, at most 16 KB.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

from msgspec import Struct

LIMIT = 16384
# What a system's NodeConfig takes at the least: a cluster's name, endpoint and service CIDR, and the certificate
# authority, which with EKS is RSA-2048, about 1,490 characters of base64; and with the labels, taints and kubelet
# settings that nodes usually have.
NODE_CONFIG_LEAST, NODE_CONFIG_MOST = 1900, 2560
# Up to here, the scripts of many images are the same; see templates/main.sh.jinja.
_OWN = b"\n# For the image "


class Size(Struct, frozen=True, kw_only=True):
    """Bytes of a document or part: raw, as gzip, and in base64 (of the raw bytes)."""

    raw: int
    gzip: int
    base64: int


def gzip(content: bytes) -> bytes:
    """Deterministic gzip: no time, no name (and half the import of the gzip module)."""
    own = max(content.rfind(_OWN), 0)
    packed, begun = _begun(content[:own])
    packer = begun.copy()
    rest: bytes = packer.compress(content[own:]) + packer.flush()
    return packed + rest


# Packing takes longer than all the rest of a document. The block ends here (16 bytes more), so that what is not yet
# written does not have to be written for each of them.
@lru_cache(maxsize=4)
def _begun(beginning: bytes) -> tuple[bytes, Any]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(beginning) + packer.flush(zlib.Z_BLOCK), packer


def size_of(content: bytes) -> Size:
    """All three sizes."""
    return Size(raw=len(content), gzip=len(gzip(content)), base64=(len(content) + 2) // 3 * 4)
