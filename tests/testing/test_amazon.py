"""testinfra on Amazon Linux."""

from __future__ import annotations

import pytest
from testinfra.modules.package import DebianPackage, Package, RpmPackage

from amigen.testing.teach import teach_testinfra
from tests.testing.hosts import os_release, table_host


@pytest.fixture(autouse=True)
def _taught() -> None:
    teach_testinfra()


@pytest.mark.parametrize("dpkg", [True, False])
def test_rpm_on_amazon_linux(dpkg: bool) -> None:
    """Also where dpkg is installed, which testinfra would take first."""
    table = os_release("amzn") | {"command -v dpkg-query": (0 if dpkg else 1, "")}
    assert Package.get_module_class(table_host(table)) is RpmPackage


def test_other_distributions_are_as_before() -> None:
    assert Package.get_module_class(table_host(os_release("ubuntu"))) is DebianPackage
    assert Package.get_module_class(table_host(os_release("fedora"))) is RpmPackage


def test_unknown_distributions_are_as_before() -> None:
    """testinfra's own rule, seen so that this test would notice when it changes."""
    table = os_release("nobody") | {"command -v apk": (1, ""), "command -v dpkg-query": (0, "")}
    assert Package.get_module_class(table_host(table)) is DebianPackage


def test_teaching_twice_is_once() -> None:
    before = Package.get_module_class.__func__
    teach_testinfra()
    assert Package.get_module_class.__func__ is before
