"""Downloads with a checksum, kept in the cache under it."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from amigen.base.errors import InputError
from amigen.vm.cache import cached

_BLOCK = 1 << 20


def download(url: str, sha256: str, *, log: Callable[[str], None], fresh: bool = False) -> Path:
    """The file at the URL, which has this checksum.

    Raises:
        InputError: It cannot be loaded, or has another checksum; nothing is kept then.
    """
    folder = cached("downloads", sha256, lambda new: _load(url, sha256, new / "disk", log), log=log, fresh=fresh)
    return folder / "disk"


def _load(url: str, sha256: str, target: Path, log: Callable[[str], None]) -> None:
    # Everything that verifies comes by here, and few download.
    log(f"download {url}")
    found = hashlib.sha256()
    try:
        # The spec's pattern allows http, https, ftp and file; the checksum decides what is taken.
        with urllib.request.urlopen(url, timeout=60) as source, target.open("wb") as file:  # noqa: S310
            while block := source.read(_BLOCK):
                found.update(block)
                file.write(block)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise InputError(f"cannot download {url}: {getattr(error, 'reason', error)}") from None
    if found.hexdigest() != sha256:
        raise InputError(
            f"{url} has a wrong checksum: sha256 {found.hexdigest()}, not {sha256}",
            "check whether the file was replaced by a newer one; nothing was kept",
        )
