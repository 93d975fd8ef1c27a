"""apt: Debian and Ubuntu."""

from __future__ import annotations

from amigen.platforms.model import Mirror, PlatformFact

_PATH = "/etc/apt/sources.list.d/amigen.sources"


def mirror_file(fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
    """Path and content of a deb822 source (sources.list(5))."""
    content = (
        "# Package source of packageSources.mirrors; written by amigen.\n"
        "Types: deb\n"
        f"URIs: {mirror.url}\n"
        f"Suites: {' '.join(mirror.suites or fact.suites)}\n"
        f"Components: {' '.join(mirror.components or fact.components)}\n"
        f"Signed-By: {mirror.gpg_key or fact.keyring}\n"
    )
    return _PATH, content


def mirror_options() -> tuple[str, ...]:
    """Only that file, for amigen's own calls; the machine's other sources stay as they are."""
    return ("-o", f"Dir::Etc::SourceList={_PATH}", "-o", "Dir::Etc::SourceParts=-")
