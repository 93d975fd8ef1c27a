"""What differs between operating systems, as values."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from amigen.knowledge import Architecture, version_tuple

PackageManager = Literal["apt", "dnf"]


class CloudImage(Struct, frozen=True, kw_only=True):
    """The image that a distribution publishes for KVM, of one architecture.

    Attributes:
        site: Beginning of all its URLs; a mirror has the same layout.
        newest: The file under `site` that names the newest version.
        version: Pattern of the version in that file, as its one group.
        folder: The folder of one version under `site`, with `{version}`.
        file: Pattern of the image's name in that folder, with `{version}`; of several the first by name.
        checksums: The file in that folder with the checksums of all its images.
        signature: The file in that folder that signs `checksums`; empty: the publisher does not sign.
        key: The OpenPGP key that signs, as `FINGERPRINT.asc` beside the platforms.
        source: Where these facts come from.
    """

    site: str
    newest: str
    version: str
    folder: str
    file: str
    checksums: Literal["SHA256SUMS", "SHA512SUMS"]
    source: str
    signature: str = ""
    key: str = ""


class PlatformFact(Struct, frozen=True, kw_only=True):
    """One platform: a distribution and release that amigen makes images for.

    Attributes:
        name: What a spec calls it.
        family: The package manager; chooses the shell functions of the scripts.
        os_id, os_version: `ID` and `VERSION_ID` of `/etc/os-release`.
        os_image: Beginning of `PRETTY_NAME` of `/etc/os-release`, which a Node has as `status.nodeInfo.osImage`.
        codename: Of the release, where apt needs it.
        kernel: The oldest kernel series that its images come with, as (major, minor).
        eks_kernels: The same for its EKS images: (Kubernetes version, kernel series from that version on), ascending;
            empty where it does not depend on the Kubernetes version.
        keyring: The file on the node that holds the distribution's signing keys.
        suites, components: apt: what a mirror of the main archive has.
        kernel_package: The kernel of a local virtual machine, with `{arch}`; empty where amigen makes no such root.
        login_user: The user that cloud-init makes on AWS.
        local_user: The user that cloud-init makes on its cloud image.
        cloud_images: The images that it publishes for KVM.
        root_device: The root device of its AMIs.
        arch_names: The distribution's words for the architectures.
        joins_by: What joins a node of its EKS image to a cluster; None where there is no EKS image.
        kubelet_units: systemd units that must wait for the gate.
        join_units: systemd units of its EKS image that fail on a machine that joins no cluster, such as a builder.
        min_kubernetes: The oldest Kubernetes of its EKS image, as (major, minor).
        ssm_eks, ssm_plain: SSM public parameters of the images, with `{version}` and `{arch}`.
        owner, name_filter: Where there is no parameter: owner account in the partition `aws` and name of the images,
            with `{arch}`. Owners in other partitions are not known: the spec has to name them.
        source: Where these facts come from.
    """

    name: str
    family: PackageManager
    os_id: str
    os_version: str
    os_image: str
    title: str
    kernel: tuple[int, int]
    keyring: str
    login_user: str
    local_user: str
    root_device: str
    arch_names: dict[Architecture, str]
    kubelet_units: tuple[str, ...]
    source: str
    cloud_images: dict[Architecture, CloudImage] = {}
    codename: str = ""
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    kernel_package: str = ""
    eks_kernels: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    joins_by: Literal["nodeadm", "bootstrap.sh"] | None = None
    join_units: tuple[str, ...] = ()
    min_kubernetes: tuple[int, int] | None = None
    ssm_eks: str | None = None
    ssm_plain: str | None = None
    owner: str = ""
    name_filter: str = ""

    def oldest_kernel(self, kubernetes_version: str, *, eks_image: bool) -> tuple[int, int]:
        """The oldest kernel series that the default source image comes with, as (major, minor)."""
        if not eks_image or not self.eks_kernels:
            return self.kernel
        wanted = version_tuple(kubernetes_version)
        found = self.eks_kernels[0][1]
        for since, kernel in self.eks_kernels:
            if since <= wanted:
                found = kernel
        return found


class Mirror(Protocol):
    """A package source that a spec names; `amigen.spec.model.Mirror` is one."""

    @property
    def url(self) -> str:
        """Base URL: the folder with `dists/` (apt) or `repodata/` (dnf)."""
        ...

    @property
    def suites(self) -> tuple[str, ...]:
        """Suites of apt; empty: the distribution's."""
        ...

    @property
    def components(self) -> tuple[str, ...]:
        """Components of apt; empty: the distribution's."""
        ...

    @property
    def gpg_key(self) -> str | None:
        """The key file that signs it; None: the distribution's."""
        ...
