"""Debian and Ubuntu."""

from __future__ import annotations

from amigen.knowledge import PlatformFact
from amigen.spec.model import Mirror

_PATH = "/etc/apt/sources.list.d/amigen.sources"
_KEYRINGS = {
    "debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}
_COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}


def mirror_file(fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
    """A deb822 source (sources.list(5)).

    Debian's security archive is another one than its main archive, so that only Ubuntu has `-security` by default.
    """
    suites = mirror.suites or (fact.codename, f"{fact.codename}-updates")
    if not mirror.suites and fact.os_id == "ubuntu":
        suites = (*suites, f"{fact.codename}-security")
    components = mirror.components or _COMPONENTS[fact.os_id]
    content = (
        "# Package source of packageSources.mirrors; written by amigen.\n"
        "Types: deb\n"
        f"URIs: {mirror.url}\n"
        f"Suites: {' '.join(suites)}\n"
        f"Components: {' '.join(components)}\n"
        f"Signed-By: {mirror.gpg_key or _KEYRINGS[fact.os_id]}\n"
    )
    return _PATH, content


def mirror_options() -> tuple[str, ...]:
    """Only that file, for amigen's own calls; the machine's other sources stay as they are."""
    return ("-o", f"Dir::Etc::SourceList={_PATH}", "-o", "Dir::Etc::SourceParts=-")
