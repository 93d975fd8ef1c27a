"""Amazon Linux in testinfra, which does not know `ID=amzn`.

testinfra chooses the package manager by the name of the distribution, and for names that it does not know takes
`dpkg-query` before `rpm` (https://github.com/pytest-dev/pytest-testinfra, testinfra/modules/package.py): on Amazon
Linux with dpkg installed, every package is missing.
"""

from __future__ import annotations

from typing import Any

from amigen.platforms import PLATFORMS

RPM_DISTRIBUTIONS = frozenset(fact.os_id for fact in PLATFORMS.values() if fact.family == "dnf")


def teach_testinfra() -> None:
    """Make `host.package` use rpm on Amazon Linux; safe to call again."""
    from testinfra.modules.package import Package, RpmPackage

    known = Package.get_module_class.__func__
    if getattr(known, "_knows_amazon", False):
        return

    def get_module_class(cls: Any, host: Any) -> Any:
        return RpmPackage if host.system_info.distribution in RPM_DISTRIBUTIONS else known(cls, host)

    get_module_class._knows_amazon = True  # type: ignore[attr-defined]
    Package.get_module_class = classmethod(get_module_class)
