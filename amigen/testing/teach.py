"""What testinfra is taught: connections, and the packages of Amazon Linux.

testinfra chooses the package manager by the name of the distribution, and for names that it does not know takes
`dpkg-query` before `rpm` (https://github.com/pytest-dev/pytest-testinfra, testinfra/modules/package.py): on Amazon
Linux with dpkg installed, every package is missing.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import testinfra.backend
from testinfra.modules.package import Package, RpmPackage

from amigen.connections import parse_target
from amigen.platforms import PLATFORMS

RPM_DISTRIBUTIONS = frozenset(fact.os_id for fact in PLATFORMS.values() if fact.family == "dnf")
_OURS = ("ssm", "nspawn")


def teach_testinfra() -> None:
    """Add `ssm://INSTANCE`, `nspawn:///FOLDER`, `chroot:///FOLDER` as a URL, and rpm on Amazon Linux; once."""
    if "ssm" in testinfra.backend.BACKENDS:
        return
    for scheme in _OURS:
        testinfra.backend.BACKENDS[scheme] = "amigen.testing.backend.ConnectionBackend"
    parse_known = testinfra.backend.parse_hostspec
    class_of_known = Package.get_module_class.__func__

    def parse_hostspec(hostspec: str) -> tuple[str, dict[str, Any]]:
        return _parsed(hostspec) or parse_known(hostspec)

    def get_module_class(cls: Any, host: Any) -> Any:
        return RpmPackage if host.system_info.distribution in RPM_DISTRIBUTIONS else class_of_known(cls, host)

    testinfra.backend.parse_hostspec = parse_hostspec
    Package.get_module_class = classmethod(get_module_class)


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
