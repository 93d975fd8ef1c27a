"""The user's folders for amigen (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/amigen`: all of amigen's caches.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amigen"


def state_home() -> Path:
    """`${XDG_STATE_HOME:-~/.local/state}/amigen`: what must outlive a cache.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "amigen"
