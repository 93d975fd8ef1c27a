"""Downloads with a checksum, kept in the cache under it; what was interrupted goes on where it stopped.

`urllib.request` follows the proxies of the environment: `http_proxy`, `https_proxy` and `no_proxy`.
"""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from amigen.base.errors import InputError
from amigen.vm.cache import cached

_BLOCK = 1 << 20
_SECONDS = 60
# Of a list of checksums or the like.
_TEXT_BYTES = 4 << 20
# Connections that are tried again one after another without a byte.
_TRIES = 4
_SAY_EVERY = 15.0
_FAILURES = (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError)


class UnreachableError(InputError):
    """Nothing answers where a file is to be downloaded from."""


def download(url: str, checksum: str, *, log: Callable[[str], None], fresh: bool = False) -> Path:
    """The file at the URL, which has this checksum.

    Args:
        url: http, https, ftp or file.
        checksum: Hexadecimal, SHA-256 or SHA-512.
        log: Receives what is downloaded, and how far it is.
        fresh: Do not use what is cached.

    Raises:
        InputError: It cannot be loaded, or has another checksum.
    """

    def make(folder: Path) -> None:
        # Beside what is cached: a part that is there goes on with the next run, also after this one is killed.
        part = folder.parent.parent / f"{checksum}.part"
        if fresh:
            part.unlink(missing_ok=True)
        _load(url, checksum, part, log)
        part.rename(folder / "disk")

    return cached("downloads", checksum, make, log=log, fresh=fresh) / "disk"


def read_text(url: str) -> tuple[str, str]:
    """The small text at the URL, and the URL that redirects led to.

    Raises:
        InputError: It cannot be loaded, or https led to a URL without it.
    """
    try:
        with _open(url, 0) as source:
            return source.read(_TEXT_BYTES).decode("utf-8", "replace"), source.url
    except _FAILURES as error:
        raise _failed(url, error) from None


def _load(url: str, checksum: str, part: Path, log: Callable[[str], None]) -> None:
    tries, begun = 0, _size(part)
    log(f"download {url}" + (f", from byte {begun} on" if begun else ""))
    while True:
        before = _size(part)
        try:
            _load_rest(url, part, log)
        except _FAILURES as error:
            code = getattr(error, "code", 500)
            tries = tries + 1 if _size(part) == before else 0
            # 416: no byte is missing, or the file is another one, which the checksum tells.
            if code != 416 or not before:
                if code < 500 or not _size(part) or tries == _TRIES:
                    raise _failed(url, error) from None
                time.sleep(tries)
                continue
        found = _checksum(part, checksum)
        if found == checksum:
            return
        part.unlink()
        if not begun:
            raise InputError(
                f"{url} has a wrong checksum: {found}, not {checksum}",
                "check whether the file was replaced by a newer one; nothing was kept",
            )
        # The part that was there may be of another file.
        begun = 0


def _load_rest(url: str, part: Path, log: Callable[[str], None]) -> None:
    """Append what is missing of the part."""
    with _open(url, _size(part)) as source:
        resumed = getattr(source, "status", None) == 206
        length = source.headers.get("Content-Length")
        with part.open("ab" if resumed else "wb") as file:
            total = file.tell() + int(length) if length else 0
            said = time.monotonic()
            while block := source.read(_BLOCK):
                file.write(block)
                if time.monotonic() - said > _SAY_EVERY:
                    said = time.monotonic()
                    log(f"{file.tell() >> 20} of {total >> 20 or '?'} MiB")
            if file.tell() < total:
                raise ConnectionError("the connection ended early")


def _open(url: str, start: int) -> Any:
    """The answer; it may be the whole file although `start` is not 0."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    # The spec's pattern allows http, https, ftp and file; a checksum decides what is taken.
    source = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    if url.startswith("https:") and not source.url.startswith("https:"):
        source.close()
        raise urllib.error.URLError(f"it leads to {source.url}, which is not encrypted")
    return source


def _failed(url: str, error: Exception) -> InputError:
    # An HTTPError is an answer.
    kind = InputError if isinstance(error, urllib.error.HTTPError) else UnreachableError
    return kind(f"cannot download {url}: {getattr(error, 'reason', None) or error}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _checksum(path: Path, like: str) -> str:
    """SHA-256 or SHA-512, whichever has this length."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512" if len(like) == 128 else "sha256").hexdigest()
