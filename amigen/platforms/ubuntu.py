"""Ubuntu: Canonical's images for EC2 and EKS."""

from __future__ import annotations

import re

from amigen.platforms.model import CloudImage, PlatformFact

_SSM = "/aws/service/canonical/ubuntu"


def _cloud_image(version: str, codename: str, arch: str) -> CloudImage:
    """The release image; its key is the "UEC Image Automatic Signing Key"."""
    return CloudImage(
        site="https://cloud-images.ubuntu.com",
        newest=f"releases/{codename}/release/unpacked/build-info.txt",
        version=r"^serial=([0-9]{8}(?:\.[0-9]+)?)$",
        folder=f"releases/{codename}/release-{{version}}",
        file=re.escape(f"ubuntu-{version}-server-cloudimg-{arch}.img"),
        checksums="SHA256SUMS",
        signature="SHA256SUMS.gpg",
        key="D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81",
        source="https://ubuntu.com/docs/public-images/public-images-how-to/verify-image-checksum/",
    )


def _release(
    version: str, codename: str, kernel: tuple[int, int], volume: str, min_kubernetes: tuple[int, int]
) -> PlatformFact:
    """A release; SSM parameters and minimum versions as in eksctl (pkg/ami/ssm_resolver.go)."""
    return PlatformFact(
        name=f"ubuntu-{version}",
        family="apt",
        os_id="ubuntu",
        os_version=version,
        os_image=f"Ubuntu {version}",
        codename=codename,
        title=f"Ubuntu {version}",
        kernel=kernel,
        keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        suites=(codename, f"{codename}-updates", f"{codename}-security"),
        components=("main", "universe"),
        kernel_package="linux-image-virtual",
        login_user="ubuntu",
        local_user="ubuntu",
        cloud_images={
            "x86_64": _cloud_image(version, codename, "amd64"),
            "arm64": _cloud_image(version, codename, "arm64"),
        },
        root_device="/dev/sda1",
        arch_names={"x86_64": "amd64", "arm64": "arm64"},
        joins_by="bootstrap.sh",
        kubelet_units=("snap.kubelet-eks.daemon.service", "kubelet.service"),
        min_kubernetes=min_kubernetes,
        ssm_eks=f"{_SSM}/eks/{version}/{{version}}/stable/current/{{arch}}/hvm/{volume}/ami-id",
        ssm_plain=f"{_SSM}/server/{version}/stable/current/{{arch}}/hvm/{volume}/ami-id",
        source="eksctl pkg/ami/ssm_resolver.go",
    )


PLATFORMS = (
    _release("22.04", "jammy", (5, 15), "ebs-gp2", (1, 29)),
    _release("24.04", "noble", (6, 8), "ebs-gp3", (1, 31)),
    _release("26.04", "resolute", (7, 0), "ebs-gp3", (1, 35)),
)
