"""Gzip: the same bytes for the same content, and no more than its reader can hold of a small file."""

from __future__ import annotations

import zlib


def gzip(content: bytes) -> bytes:
    """Pack without time and name."""
    return zlib.compress(content, 9, wbits=31)


def gunzip(content: bytes, most: int) -> bytes:
    """Unpack.

    Raises:
        ValueError: It is broken, or larger than `most` bytes.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(content, most)
    except zlib.error as error:
        raise ValueError(f"the gzip data is broken: {error}") from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"the gzip data unpacks to more than {most} bytes")
    if not unpacker.eof:
        raise ValueError("the gzip data ends too early")
    return out
