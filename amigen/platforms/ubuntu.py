"""Ubuntu: Canonical's images for EC2 and EKS."""

from __future__ import annotations

from amigen.platforms.model import PlatformFact

_SSM = "/aws/service/canonical/ubuntu"


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
