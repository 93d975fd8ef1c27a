"""Amazon Linux 2023."""

from __future__ import annotations

from amigen.platforms.model import CloudImage, PlatformFact


def _cloud_image(arch: str, folder: str) -> CloudImage:
    """The KVM image; Amazon publishes checksums over https and does not sign them.

    `latest` leads to the newest version, whose image names hold it. One version may have images of several kernels; the
    first by name has the oldest, which is 6.1.
    """
    return CloudImage(
        site="https://cdn.amazonlinux.com",
        newest=f"al2023/os-images/latest/{folder}/SHA256SUMS",
        version=r"al2023-kvm-([0-9]+(?:\.[0-9]+)+)-kernel-",
        folder=f"al2023/os-images/{{version}}/{folder}",
        file=rf"al2023-kvm-{{version}}-kernel-[0-9.]+-{arch}\.xfs\.gpt\.qcow2",
        checksums="SHA256SUMS",
        source="https://docs.aws.amazon.com/linux/al2023/ug/outside-ec2-download.html",
    )


PLATFORMS = (
    PlatformFact(
        name="al2023",
        family="dnf",
        os_id="amzn",
        os_version="2023",
        os_image="Amazon Linux 2023",
        title="Amazon Linux 2023",
        kernel=(6, 1),
        # awslabs/amazon-eks-ami, July 2026, x86_64 standard.
        eks_kernels=(((1, 23), (6, 1)), ((1, 33), (6, 12)), ((1, 36), (6, 18))),
        # Shipped in system-release.
        keyring="/etc/pki/rpm-gpg/RPM-GPG-KEY-amazon-linux-2023",
        login_user="ec2-user",
        local_user="ec2-user",
        cloud_images={"x86_64": _cloud_image("x86_64", "kvm"), "arm64": _cloud_image("arm64", "kvm-arm64")},
        root_device="/dev/xvda",
        arch_names={"x86_64": "x86_64", "arm64": "arm64"},
        joins_by="nodeadm",
        kubelet_units=("nodeadm-run.service", "kubelet.service"),
        # Without a NodeConfig in its user data, nodeadm-config fails, and nodeadm-run, which requires it, is not run:
        # https://github.com/awslabs/amazon-eks-ami/issues/2426
        join_units=("nodeadm-config.service", "nodeadm-run.service"),
        min_kubernetes=(1, 23),
        ssm_eks="/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{arch}/standard/recommended/image_id",
        ssm_plain="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}",
        source="https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id.html",
    ),
)
