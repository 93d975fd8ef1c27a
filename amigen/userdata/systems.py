"""What each node system does to user data before it reaches the node: data, with sources."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from amigen.userdata import mime
from amigen.userdata.mime import Part

SystemName = Literal["managed-node-group", "karpenter", "eksctl", "self-managed"]


class System(Struct, frozen=True, kw_only=True):
    """One system.

    Attributes:
        title: What people call it.
        merges: What it does, one sentence.
        node_config: Where its own NodeConfig goes among the parts; None where it brings none.
        fields: The NodeConfig fields that it sets (values are known only to it).
        needs_mime: It refuses anything but MIME multi-part.
        takes_gzip: It passes on, or understands, gzip around the whole document.
    """

    title: str
    merges: str
    node_config: Literal["first", "last"] | None
    fields: tuple[str, ...]
    needs_mime: bool
    takes_gzip: bool
    source: str


_CLUSTER = tuple(f"spec.cluster.{name}" for name in ("name", "apiServerEndpoint", "certificateAuthority", "cidr"))

SYSTEMS: dict[SystemName, System] = {
    "managed-node-group": System(
        title="EKS managed node group without a custom AMI",
        merges="EKS appends its own NodeConfig to the parts",
        node_config="last",
        fields=(*_CLUSTER, "spec.kubelet.config.maxPods", "spec.kubelet.config.clusterDNS", "spec.kubelet.flags"),
        needs_mime=True,
        takes_gzip=False,
        source="https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-user-data",
    ),
    "karpenter": System(
        title="Karpenter, EC2NodeClass with amiFamily AL2023",
        merges="Karpenter adds its generated NodeConfig, and its values win",
        node_config="last",
        fields=(
            *_CLUSTER,
            "spec.kubelet.config.maxPods",
            "spec.kubelet.config.clusterDNS",
            "spec.kubelet.config.registerWithTaints",
            "spec.kubelet.flags",
        ),
        needs_mime=False,
        takes_gzip=False,
        source="karpenter-provider-aws pkg/providers/amifamily/bootstrap/nodeadm.go",
    ),
    "eksctl": System(
        title="eksctl, self-managed or with a custom AMI",
        merges="eksctl puts its NodeConfig behind the scripts of preBootstrapCommands",
        node_config="last",
        fields=(*_CLUSTER, "spec.kubelet.config.clusterDNS", "spec.kubelet.flags"),
        needs_mime=False,
        takes_gzip=False,
        source="eksctl pkg/nodebootstrap/al2023.go",
    ),
    "self-managed": System(
        title="self-managed nodes, or a managed node group with a custom AMI",
        merges="nothing is merged: the node gets these bytes, and must find all it needs to join in them",
        node_config=None,
        fields=(),
        needs_mime=False,
        takes_gzip=True,
        source="https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-custom-ami",
    ),
}


def without_nodeadm(system: System) -> System:
    """The system on a platform without nodeadm: for Karpenter it is amiFamily Custom, for EKS a custom AMI."""
    if system.node_config is None:
        return system
    merges = "nothing is merged on this platform (a custom AMI, amiFamily Custom): the node must join by these bytes"
    return replace(system, merges=merges, node_config=None, fields=(), needs_mime=False, takes_gzip=True)


def arrive(parts: tuple[Part, ...], system: System, name: SystemName) -> tuple[Part, ...]:
    """The parts in the order in which they reach the node; the system's own has no content, which only it knows."""
    if system.node_config is None:
        return parts
    own = Part(type=mime.NODE_CONFIG, content=b"", origin=name)
    return (own, *parts) if system.node_config == "first" else (*parts, own)
