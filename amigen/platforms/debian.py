"""Debian: the official images for EC2, and the root that local builds start from."""

from __future__ import annotations

import re

from amigen.platforms.model import CloudImage, PlatformFact


def _cloud_image(version: str, codename: str, arch: str) -> CloudImage:
    """The image for virtual machines; Debian publishes checksums over https and does not sign them.

    The document beside it names its version, as lima's hack/update-template-debian.sh reads it.
    """
    name = f"debian-{version}-genericcloud-{arch}"
    return CloudImage(
        site="https://cloud.debian.org",
        newest=f"images/cloud/{codename}/latest/{name}.json",
        version=r'"cloud\.debian\.org/version": *"([0-9]{8}-[0-9]+)"',
        folder=f"images/cloud/{codename}/{{version}}",
        file=re.escape(name) + r"-{version}\.qcow2",
        checksums="SHA512SUMS",
        source="https://cloud.debian.org/images/cloud/",
    )


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
        # Of cloud-init's own configuration for Debian (config/cloud.cfg.tmpl); the EC2 images rename it.
        local_user="debian",
        cloud_images={
            "x86_64": _cloud_image(version, codename, "amd64"),
            "arm64": _cloud_image(version, codename, "arm64"),
        },
        root_device="/dev/xvda",
        arch_names={"x86_64": "amd64", "arm64": "arm64"},
        kubelet_units=("kubelet.service",),
        owner="136693071363",
        name_filter=f"debian-{version}-{{arch}}-*",
        source=f"https://wiki.debian.org/Cloud/AmazonEC2Image/{codename.capitalize()}",
    )


PLATFORMS = (_release("12", "bookworm", (6, 1)), _release("13", "trixie", (6, 12)))
