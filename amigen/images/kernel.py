"""The kernel series of a base image, and what another series means for a spec. Pure.

Source of the names: https://docs.aws.amazon.com/linux/al2023/ug/naming-and-versioning.html (AL2023: `-kernel-6.1-`);
EKS's AMIs are named by their Kubernetes version, and `amigen.platforms` knows which kernel that comes with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from amigen import knowledge
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage
from amigen.spec.values import Platform

Series = tuple[int, int]
_IN_NAME = re.compile(r"-kernel-?(\d+)\.(\d+)\b")
# amazon-eks-node-al2023-x86_64-standard-1.34-v20261101
_EKS = re.compile(r"^amazon-eks-(?:arm64-)?node-.*?-(\d+\.\d+)-v\d+")
_RELEASE = re.compile(r"(\d+)\.(\d+)")


def series_of_image(platform: Platform, name: str) -> Series | None:
    """The kernel series of an AMI by its name; None where the name does not say it."""
    if match := _IN_NAME.search(name):
        return int(match[1]), int(match[2])
    if match := _EKS.match(name):
        return PLATFORMS[platform].oldest_kernel(match[1], eks_image=True)
    return None


def series_of_release(release: str) -> Series | None:
    """The series of what `uname -r` says, such as `6.12.40-63.114.amzn2023.x86_64`."""
    match = _RELEASE.match(release)
    return (int(match[1]), int(match[2])) if match else None


def text(series: Series) -> str:
    """`6.12`."""
    return ".".join(map(str, series))


def what_changes(spec: NodeImage, old: Series, new: Series) -> Iterator[str]:
    """What another kernel series means for the spec's modules and kube-proxy mode, one sentence each."""
    mode = spec.kube_proxy.mode
    yield f"the kernel series changes from {text(old)} to {text(new)}"
    yield "the build loads and checks each module of the spec on the new kernel before it keeps an image"
    named = [
        package.name
        for package in spec.packages
        if re.search(rf"(?:kernel|linux)\S*?{re.escape(text(old))}(?!\d)", package.name)
    ]
    if named:
        yield f"packages of the spec are of the old series: {', '.join(named)}"
    if mode == "nftables":
        least = knowledge.NFTABLES_MIN_KERNEL
        able = "works" if new >= least else "does not work"
        yield f"kube-proxy's nftables mode {able}: it needs kernel {text(least)} or newer"
    elif mode == "ipvs":
        scheduler = spec.kube_proxy.ipvs.scheduler
        yield f"kube-proxy's ipvs mode needs ip_vs and the module of the scheduler {scheduler} there"
    bits = spec.kube_proxy.ipvs.conn_tab_bits
    if bits is not None and bits > knowledge.CONN_TAB_BITS_OLD_MAX and new < knowledge.CONN_TAB_BITS_KERNEL:
        yield f"connTabBits {bits} is too much: before kernel {text(knowledge.CONN_TAB_BITS_KERNEL)} it is 12 then"
    # Both sides of this are seen in `size=` of `ipvsadm -L` (net-next 22e620fe8455).
    if old < (7, 1) <= new and mode == "ipvs":
        yield "from kernel 7.1 on the connection table grows by itself, and connTabBits is its maximum"
