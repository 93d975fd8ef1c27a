"""What each node system does to user data before it reaches the node: data, with sources."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from amigen.userdata import mime
from amigen.userdata.size import NODE_CONFIG_LEAST, NODE_CONFIG_MOST

SystemName = Literal["managed-node-group", "karpenter", "eksctl", "self-managed"]


class System(Struct, frozen=True, kw_only=True):
    """One system.

    Attributes:
        title: What people call it.
        merges: What it does, one sentence.
        node_config: Where its own NodeConfig goes among those of the document; None where it brings none.
        fields: The NodeConfig fields that it sets (values are known only to it).
        depends: Fields that it sets only with a setting of its own, and that setting.
        accepts: Types of a whole document that it understands; None for all that cloud-init does.
        needs: What it takes, for the message about another type.
        hint: What to do about another type.
        wrapped: What may be around the whole document.
        headers: The headers of a part that it passes on; None for all.
        prepends: What it writes before each script, so that bash runs it whatever its first line says.
        rewrites: It writes the whole document anew, as `amigen.userdata.arrival` does after it.
        adds_least, adds_most: Bytes of its own part (see `amigen.userdata.size`).
        source: Where all this stands.
    """

    title: str
    merges: str
    node_config: Literal["first", "last"] | None = None
    fields: tuple[str, ...] = ()
    depends: dict[str, str] = {}
    accepts: tuple[str, ...] | None = None
    needs: str = ""
    hint: str = ""
    wrapped: tuple[str, ...] = ()
    headers: tuple[str, ...] | None = None
    prepends: str = ""
    rewrites: bool = False
    adds_least: int = 0
    adds_most: int = 0
    source: str


_CLUSTER = tuple(f"spec.cluster.{name}" for name in ("name", "apiServerEndpoint", "certificateAuthority", "cidr"))
# Fields of KubeletConfiguration in pkg/apis/v1/ec2nodeclass.go, but those that Karpenter always sets.
_NODE_CLASS_KUBELET = (
    "podsPerCore",
    "systemReserved",
    "kubeReserved",
    "evictionHard",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "evictionMaxPodGracePeriod",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "cpuCFSQuota",
)
_USER_DATA = "https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-user-data"
_CUSTOM_AMI = "https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-custom-ami"

SYSTEMS: dict[SystemName, System] = {
    "managed-node-group": System(
        title="EKS managed node group without a custom AMI",
        merges="EKS appends its own NodeConfig to the parts",
        node_config="last",
        fields=(*_CLUSTER, "spec.kubelet.config.maxPods", "spec.kubelet.config.clusterDNS", "spec.kubelet.flags"),
        accepts=(mime.MULTIPART,),
        needs="needs MIME multi-part",
        hint="amigen user-data --format mime --merge FILE",
        wrapped=("base64",),
        adds_least=NODE_CONFIG_LEAST,
        adds_most=NODE_CONFIG_MOST,
        source=_USER_DATA,
    ),
    "karpenter": System(
        title="Karpenter, EC2NodeClass with amiFamily AL2023",
        merges="Karpenter adds its generated NodeConfig, and its values win; with the NodeClass's spec.kubelet more of "
        "spec.kubelet.config, with instanceStorePolicy: RAID0 spec.instance.localStorage.strategy",
        depends={
            "spec.instance.localStorage.strategy": "instanceStorePolicy: RAID0",
            **{f"spec.kubelet.config.{name}": f"kubelet.{name}" for name in _NODE_CLASS_KUBELET},
        },
        node_config="last",
        fields=(
            *_CLUSTER,
            "spec.kubelet.config.clusterDNS",
            "spec.kubelet.config.maxPods",
            "spec.kubelet.config.registerWithTaints",
            "spec.kubelet.flags",
        ),
        # Of a part, mime.go keeps Content-Type and the bytes; Go's mime/multipart decodes quoted-printable before.
        headers=("content-type",),
        rewrites=True,
        needs="takes what does not begin with MIME-Version: or Content-Type: for a NodeConfig if it is a YAML mapping",
        hint="amigen user-data --format mime --merge FILE",
        adds_least=NODE_CONFIG_LEAST,
        adds_most=NODE_CONFIG_MOST,
        source="karpenter-provider-aws v1.14.1 pkg/providers/amifamily/bootstrap/nodeadm.go, mime/mime.go",
    ),
    "eksctl": System(
        title="eksctl, self-managed or with a custom AMI",
        merges="eksctl puts its NodeConfig behind preBootstrapCommands and before overrideBootstrapCommand, which wins",
        node_config="first",
        fields=(*_CLUSTER, "spec.kubelet.config.clusterDNS", "spec.kubelet.flags"),
        accepts=(mime.SHELL, mime.NODE_CONFIG),
        needs="takes scripts (preBootstrapCommands) and a NodeConfig (overrideBootstrapCommand)",
        hint="give it the shell format in preBootstrapCommands, or use a launch template",
        headers=("content-type",),
        adds_least=NODE_CONFIG_LEAST,
        adds_most=NODE_CONFIG_MOST,
        prepends="#!/bin/bash\n",
        source="eksctl 0.215 pkg/nodebootstrap/al2023.go, managed_al2.go, issue 7895",
    ),
    "self-managed": System(
        title="self-managed nodes, or a managed node group with a custom AMI",
        merges="nothing is merged: the node gets these bytes, and must find all it needs to join in them",
        wrapped=("base64", "gzip"),
        source=_CUSTOM_AMI,
    ),
}

# What the same systems do on a platform that nodeadm does not join (Ubuntu, Debian).
WITHOUT_NODEADM: dict[SystemName, System] = {
    "managed-node-group": replace(
        SYSTEMS["self-managed"],
        title="EKS managed node group with a custom AMI (EKS itself brings no image of this platform)",
    ),
    "karpenter": replace(
        SYSTEMS["self-managed"],
        title="Karpenter, EC2NodeClass with amiFamily Custom",
        # A string of a Kubernetes object holds no bytes; base64 of them is taken off on the node (DataSourceEc2.py).
        source="karpenter-provider-aws v1.14.1 pkg/providers/amifamily/bootstrap/custom.go",
    ),
    "eksctl": replace(
        SYSTEMS["eksctl"],
        title="eksctl on Ubuntu",
        node_config=None,
        fields=(),
        prepends="/bin/bash -c ",
        merges="eksctl writes its own cloud-config: preBootstrapCommands, then its script, which joins the node; with "
        "a custom AMI it requires overrideBootstrapCommand in its place, which must call /etc/eks/bootstrap.sh",
        accepts=(mime.SHELL,),
        needs="takes commands (preBootstrapCommands)",
        source="eksctl 0.215 pkg/nodebootstrap/ubuntu.go, userdata.go, pkg/apis/eksctl.io/v1alpha5/validation.go",
    ),
    "self-managed": SYSTEMS["self-managed"],
}
