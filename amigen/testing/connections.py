"""Connections that testinfra gets: `ssm://INSTANCE`, `nspawn:///FOLDER`, and `chroot:///FOLDER` in the form of a URL."""

from __future__ import annotations

import urllib.parse
from typing import Any

_FOLDERS = ("nspawn", "chroot")


def teach_testinfra() -> None:
    """Add the connections; safe to call again."""
    import testinfra.backend

    testinfra.backend.BACKENDS.setdefault("ssm", "amigen.testing.ssm.SsmBackend")
    testinfra.backend.BACKENDS.setdefault("nspawn", "amigen.testing.nspawn.NspawnBackend")
    known = testinfra.backend.parse_hostspec
    if getattr(known, "_knows_amigen", False):
        return

    def parse_hostspec(hostspec: str) -> tuple[str, dict[str, Any]]:
        return _parsed(hostspec) or known(hostspec)

    parse_hostspec._knows_amigen = True  # type: ignore[attr-defined]
    testinfra.backend.parse_hostspec = parse_hostspec


def _parsed(hostspec: str) -> tuple[str, dict[str, Any]] | None:
    if hostspec is None or "://" not in hostspec:
        return None
    url = urllib.parse.urlsplit(hostspec)
    if url.scheme in _FOLDERS:
        return url.netloc + urllib.parse.unquote(url.path), {"connection": url.scheme}
    if url.scheme == "ssm":
        query = dict(urllib.parse.parse_qsl(url.query))
        return url.netloc, {"connection": "ssm", **{k: query[k] for k in ("region", "profile") if k in query}}
    return None
