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
    """The folder that holds them, private to the user: in TMPDIR, unless its path is too long for sockets."""
    home = Path(tempfile.gettempdir()) / f"amigen-{os.getuid()}"
    return home if len(os.fsencode(home)) <= _LONGEST else Path("/tmp") / home.name  # noqa: S108 - private, see below


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A new private folder, removed at the end.

    The owner holds a lock on the folder as long as it lives. Folders without an owner (left by SIGKILL or a power
    cut) are removed by the next call of any process.
    """
    home = scratch_home()
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid() or home.is_symlink():
        # Somebody else made it first in a shared /tmp: use a folder that nobody can have foreseen.
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
