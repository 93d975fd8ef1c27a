"""The two package manager families, one module each, behind one interface."""

from __future__ import annotations

from typing import Protocol

from amigen.knowledge import PLATFORM_FACTS, PlatformFact
from amigen.platforms import apt, dnf
from amigen.spec.model import Mirror
from amigen.spec.values import Platform


class Family(Protocol):
    """What a family answers; all of it pure."""

    def mirror_file(self, fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
        """Path and content of the file that names a mirror as package source."""
        ...

    def mirror_options(self) -> tuple[str, ...]:
        """Options of the package manager that make it use that source and no other."""
        ...


FAMILIES: dict[str, Family] = {"apt": apt, "dnf": dnf}


def family_of(platform: Platform) -> Family:
    """The family of a platform."""
    return FAMILIES[PLATFORM_FACTS[platform].family]
