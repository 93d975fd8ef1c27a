"""Temporary folders that are removed even after their owner was killed by SIGKILL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from amigen.base.locks import exclusive_lock

# Sockets lie in these folders, whose paths have at most 108 bytes (unix(7)); ssh adds 17 to the name of its own.
_LONGEST = 50


def scratch_home() -> Path:
    """The folder that holds them, private to the user: in TMPDIR, or in /tmp if that path is too long for sockets."""
    home = Path(tempfile.gettempdir()) / f"amigen-{os.getuid()}"
    return home if len(os.fsencode(home)) <= _LONGEST else Path("/tmp") / home.name  # noqa: S108 - private, see below


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A new private folder, removed at the end.

    The owner locks the folder while it runs. The next call in any process removes folders without an owner (left by
    SIGKILL or a power cut).
    """
    home = scratch_home()
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid() or home.is_symlink():
        # Another user made it first in a shared /tmp: use a folder with an unpredictable name.
        home = Path(tempfile.mkdtemp(prefix="amigen-"))
    sweep(home)
    with ExitStack() as locks:
        folder = _locked_folder(home, kind, locks)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(home: Path, kind: str, locks: ExitStack) -> Path:
    """A locked folder; if another process sweeps it away before it is locked, another one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=home))
        with suppress(OSError):
            locks.enter_context(exclusive_lock(folder, wait=False, create=False))
            if folder.is_dir():
                return folder


def sweep(home: Path | None = None) -> list[Path]:
    """Remove folders whose owner is gone; returns them."""
    removed = []
    for folder in sorted((home or scratch_home()).glob("*-*")):
        if folder.is_dir():
            with suppress(OSError), exclusive_lock(folder, wait=False, create=False):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed
