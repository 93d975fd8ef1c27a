"""Key paths: how findings name a place in a spec, the same for the reader and for the rules."""

from __future__ import annotations

import re


def key_path(path: str, key: str) -> str:
    """The path of an entry: `aws.tags.team`, and `sysctls['net.core.somaxconn']` where the key is no plain word."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key
