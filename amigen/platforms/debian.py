"""Debian: the official images for EC2, and the root that local builds start from."""

from __future__ import annotations

from amigen.platforms.model import PlatformFact


def _release(version: str, codename: str, kernel: tuple[int, int]) -> PlatformFact:
    """A release; owner account and name of its images by https://wiki.debian.org/Cloud/AmazonEC2Image."""
    return PlatformFact(
        name=f"debian-{version}",
        family="apt",
        os_id="debian",
        os_version=version,
        os_image=f"Debian GNU/Linux {version}",
        codename=codename,
        title=f"Debian {version}",
        kernel=kernel,
        keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
        # The security suite is in an archive of its own, which a mirror of the main one does not have.
        suites=(codename, f"{codename}-updates"),
        components=("main",),
        kernel_package="linux-image-cloud-{arch}",
        login_user="admin",
        root_device="/dev/xvda",
        arch_names={"x86_64": "amd64", "arm64": "arm64"},
        kubelet_units=("kubelet.service",),
        owner="136693071363",
        name_filter=f"debian-{version}-{{arch}}-*",
        source=f"https://wiki.debian.org/Cloud/AmazonEC2Image/{codename.capitalize()}",
    )


PLATFORMS = (_release("12", "bookworm", (6, 1)), _release("13", "trixie", (6, 12)))
