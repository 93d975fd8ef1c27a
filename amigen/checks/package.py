"""Packages."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import Check, InstallPackages, Level, Step
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class PackageCheck(Check, frozen=True, kw_only=True):
    """A package is installed, in this version where one is given."""

    test = "test_package"
    place = 50
    level = Level.PACKAGES
    asks = "packages"
    name: str
    version: str | None = None

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        if not isinstance(step, InstallPackages):
            return ()
        return tuple(cls(name=package.name, version=package.version) for package in step.packages)

    suite = """
# Package -> the version that the spec pins, or None.
PACKAGES = {table}


@pytest.mark.parametrize("name", PACKAGES)
def test_package(node, name):
    version = PACKAGES[name]
    found = node.package(name)
    wanted = f"the package {name} is installed"
    assert found, explain(expected=wanted, found="it is not", todo=BOOTSTRAP)
    assert version is None or version in found, explain(
        expected=f"{wanted} in version {version}", found=f"version {', '.join(found)}", todo=BOOTSTRAP
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        function = {"dnf": "rpm_package", "apt": "deb_package"}[platform.family]
        return function, self.name, self.version or ""

    shell = (
        r"""
rpm_package() {
	found=$(rpm -q --qf '%{EVR}\n' -- "$1" 2>/dev/null) || found=''
	if [ -z "$found" ]; then
		echo "the package $1 is not installed"
	elif [ -n "$2" ] && ! printf '%s\n' "$found" | grep -qxF "$2"; then
		echo "the package $1 should have version $2; it has $found"
	fi
}
""",
        r"""
deb_package() {
	# shellcheck disable=SC2016 # dpkg-query's own fields
	found=$(dpkg-query -W -f '${Status} ${Version}\n' -- "$1" 2>/dev/null | grep ' ok installed ') || found=''
	if [ -z "$found" ]; then
		echo "the package $1 is not installed"
	elif [ -n "$2" ] && [ "${found##* }" != "$2" ]; then
		echo "the package $1 should have version $2; it has ${found##* }"
	fi
}
""",
    )
