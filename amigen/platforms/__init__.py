"""The platforms: one module per distribution, and what apt and dnf do differently.

To add a distribution, write its module and name it in `_DISTRIBUTIONS`. A spec's `platforms` and the JSON Schema are
derived from `PLATFORMS`.
"""

from __future__ import annotations

from typing import Protocol

from amigen.platforms import al2023, apt, debian, dnf, ubuntu
from amigen.platforms.model import Mirror, PackageManager, PlatformFact

_DISTRIBUTIONS = (al2023, ubuntu, debian)

# Name -> facts, in the order in which messages and the schema list them.
PLATFORMS: dict[str, PlatformFact] = {fact.name: fact for module in _DISTRIBUTIONS for fact in module.PLATFORMS}


class Family(Protocol):
    """What a package manager needs for a mirror; pure."""

    def mirror_file(self, fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
        """Path and content of the file that names a mirror as package source."""
        ...

    def mirror_options(self) -> tuple[str, ...]:
        """Options of the package manager that make it use that source and no other."""
        ...


FAMILIES: dict[PackageManager, Family] = {"apt": apt, "dnf": dnf}


def family_of(platform: str) -> Family:
    """The package manager of a platform."""
    return FAMILIES[PLATFORMS[platform].family]


def platform_of_os_image(os_image: str) -> str | None:
    """The platform of a Node's `status.nodeInfo.osImage`, such as `Ubuntu 24.04.1 LTS`; None where it is another."""
    return next((name for name, fact in PLATFORMS.items() if os_image.startswith(fact.os_image)), None)
