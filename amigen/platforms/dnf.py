"""dnf: Amazon Linux 2023 and other distributions of RPM packages."""

from __future__ import annotations

from amigen.platforms.model import Mirror, PlatformFact

_PATH = "/etc/yum.repos.d/amigen.repo"


def mirror_file(fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
    """Path and content of a repository (dnf.conf(5), repo options)."""
    content = (
        "# Package source of packageSources.mirrors; written by amigen.\n"
        "[amigen]\n"
        "name=amigen mirror\n"
        f"baseurl={mirror.url}\n"
        "enabled=1\n"
        "gpgcheck=1\n"
        f"gpgkey=file://{mirror.gpg_key or fact.keyring}\n"
    )
    return _PATH, content


def mirror_options() -> tuple[str, ...]:
    """Only that repository, for amigen's own calls; the machine's others stay as they are."""
    return ("--repo=amigen",)
