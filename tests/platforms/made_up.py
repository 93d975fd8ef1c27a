"""A distribution that does not exist: what one more module of `amigen.platforms` would be."""

from __future__ import annotations

from amigen.platforms.model import PlatformFact

PLATFORMS = (
    PlatformFact(
        name="granite-9",
        family="dnf",
        os_id="granite",
        os_version="9",
        os_image="Granite Linux 9",
        title="Granite Linux 9",
        kernel=(5, 14),
        keyring="/etc/pki/rpm-gpg/RPM-GPG-KEY-granite-9",
        login_user="granite",
        local_user="granite",
        root_device="/dev/sda1",
        arch_names={"x86_64": "x86_64", "arm64": "aarch64"},
        kubelet_units=("kubelet.service",),
        owner="123456789012",
        name_filter="granite-9-{arch}-*",
        source="made up",
    ),
)
