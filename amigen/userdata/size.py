"""What EC2 counts: the bytes before base64, at most 16 KB.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
"""

from __future__ import annotations

from msgspec import Struct

from amigen.base.gzipped import gzip

LIMIT = 16384
# What a system's NodeConfig takes at the least: a cluster's name, endpoint and service CIDR, and the certificate
# authority, which with EKS is RSA-2048, about 1,490 characters of base64; and with the labels, taints and kubelet
# settings that nodes usually have.
NODE_CONFIG_LEAST, NODE_CONFIG_MOST = 1900, 2560


class Size(Struct, frozen=True, kw_only=True):
    """Bytes of a document or part: raw, as gzip, and in base64 (of the raw bytes)."""

    raw: int
    gzip: int
    base64: int


def size_of(content: bytes) -> Size:
    """All three sizes."""
    return Size(raw=len(content), gzip=len(gzip(content)), base64=(len(content) + 2) // 3 * 4)
