"""Connections that testinfra gets: `ssm://INSTANCE`, `nspawn:///FOLDER`, and `chroot:///FOLDER` as a URL."""

from __future__ import annotations

import urllib.parse
from typing import Any

import testinfra.backend

from amigen.connections import parse_target

_OURS = ("ssm", "nspawn")


def teach_testinfra() -> None:
    """Add the connections; safe to call again."""
    for scheme in _OURS:
        testinfra.backend.BACKENDS.setdefault(scheme, "amigen.testing.backend.ConnectionBackend")
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
    if url.scheme == "chroot":
        return url.netloc + urllib.parse.unquote(url.path), {"connection": url.scheme}
    if url.scheme in _OURS:
        target = parse_target(hostspec)
        return target.name, {"connection": url.scheme, "target": target}
    return None
