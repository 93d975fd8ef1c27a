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
    out = b""
    # One member after the other, as Go and Python have it.
    while True:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            out += unpacker.decompress(content, max(most - len(out), 1))
        except zlib.error as error:
            raise ValueError(f"the gzip data is broken, or more follows it: {error}") from None
        if unpacker.unconsumed_tail or len(out) > most:
            raise ValueError(f"the gzip data unpacks to more than {most} bytes")
        if not unpacker.eof:
            raise ValueError("the gzip data ends too early, or more follows it")
        content = unpacker.unused_data
        if not content:
            return out
