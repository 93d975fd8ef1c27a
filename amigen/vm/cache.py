"""The cache of what takes long to make, in `amigen.base.paths.cache_home`, under a key made of all inputs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.locks import exclusive_lock
from amigen.base.paths import cache_home


def cache_key(name: str, inputs: object) -> str:
    """`NAME-DIGEST` for inputs that JSON can hold."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def cached(
    kind: str, key: str, make: Callable[[Path], None], *, log: Callable[[str], None], fresh: bool = False
) -> Path:
    """The folder of this key, made by `make(empty folder)` if it does not exist.

    Atomic: the folder appears whole or not at all. Of two processes, one makes it and the other waits.

    `kind` is the subfolder, such as `bases`. `fresh` makes it again even if it exists; a process that uses the old one
    keeps its open files.

    Raises:
        ToolError: The cache cannot be written.
    """
    home = cache_home() / kind
    target = home / key
    if target.is_dir() and not fresh:
        return target
    try:
        home.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(
            home / f"{key}.lock", on_wait=lambda: log(f"another process is making {key}; waiting for it")
        ):
            if fresh or not target.is_dir():
                _make(home, target, make)
    except OSError as error:
        raise ToolError(
            f"cannot keep {key} in {home}: {error.strerror}", "set XDG_CACHE_HOME to a folder with free space"
        ) from None
    return target


def _make(home: Path, target: Path, make: Callable[[Path], None]) -> None:
    _sweep(home, target.name)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=home))
    try:
        made = folder / "new"
        made.mkdir()
        make(made)
        if target.exists():
            target.rename(folder / "old")
        made.rename(target)
    finally:
        _remove(folder)


def _sweep(home: Path, own: str) -> None:
    """Remove half-made folders of killed processes: those whose key is not locked, or is `own`, which we hold."""
    for left in home.glob(".*.*"):
        key = left.name[1:].rpartition(".")[0]
        lock = nullcontext() if key == own else exclusive_lock(home / f"{key}.lock", wait=False)
        with suppress(OSError), lock:
            _remove(left)


def _remove(folder: Path) -> None:
    """Remove it without entering file systems mounted in a half-made root."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], check=False, capture_output=True)
