"""Amazon Linux 2023."""

from __future__ import annotations

from amigen.knowledge import PlatformFact
from amigen.spec.model import Mirror

_PATH = "/etc/yum.repos.d/amigen.repo"
# The key that Amazon Linux 2023 ships in system-release.
_KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-amazon-linux-2023"


def mirror_file(fact: PlatformFact, mirror: Mirror) -> tuple[str, str]:
    """A repository (dnf.conf(5), repo options)."""
    content = (
        "# Package source of packageSources.mirrors; written by amigen.\n"
        "[amigen]\n"
        "name=amigen mirror\n"
        f"baseurl={mirror.url}\n"
        "enabled=1\n"
        "gpgcheck=1\n"
        f"gpgkey=file://{mirror.gpg_key or _KEY}\n"
    )
    return _PATH, content


def mirror_options() -> tuple[str, ...]:
    """Only that repository, for amigen's own calls; the machine's others stay as they are."""
    return ("--disablerepo=*", "--enablerepo=amigen")
