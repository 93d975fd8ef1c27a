"""What every export is made from, and what several of them share."""

from __future__ import annotations

import json
from typing import Any, Literal

from msgspec import Struct

from amigen.base.errors import InputError
from amigen.plan.model import ImagePlan
from amigen.plan.source import Source, source_of
from amigen.platforms import PLATFORMS
from amigen.platforms.model import PlatformFact
from amigen.render.packer import INSTANCE_TYPES, image_tags
from amigen.spec.model import Kubelet, NodeImage
from amigen.spec.values import Architecture

# Where the AMI comes from. `record`: its id in a build record; `parameter`: the SSM parameter that `amigen publish`
# writes; `tags`: those of an image whose checks have passed; `stock`: the source AMI, and user data does it all.
ImageSource = Literal["record", "parameter", "tags", "stock"]
# The words of EC2 and of Kubernetes (`kubernetes.io/arch`).
GO_ARCH: dict[Architecture, str] = {"x86_64": "amd64", "arm64": "arm64"}


class Export(Struct, frozen=True, kw_only=True):
    """What to export.

    Attributes:
        user_data: Its document, before base64.
        image: Where the AMI comes from.
        amis: With `record`: architecture -> AMI id in the region of the spec.
        cluster: Name of the cluster; empty where it is not known.
        joined: The nodes must have joined it; for formats that check nodes.
    """

    plan: ImagePlan
    user_data: bytes
    image: ImageSource
    amis: dict[str, str] = {}
    cluster: str = ""
    joined: bool = False

    @property
    def spec(self) -> NodeImage:
        """The spec of the plan."""
        return self.plan.spec

    @property
    def fact(self) -> PlatformFact:
        """The platform of the plan."""
        return PLATFORMS[self.plan.platform]

    @property
    def by_nodeadm(self) -> bool:
        """Whether nodeadm joins the nodes, from a NodeConfig in user data that others may add to."""
        return self.fact.joins_by == "nodeadm"

    @property
    def name(self) -> str:
        """Name of what is made, unique among the platforms of the spec."""
        return f"{self.spec.name}-{self.plan.platform}"

    @property
    def kubelet(self) -> Kubelet:
        """Settings of the kubelet."""
        return self.spec.join.eks.kubelet if self.spec.join.eks else Kubelet()

    @property
    def kube_proxy(self) -> str:
        """Values of EKS' kube-proxy add-on, as JSON: it has `mode` and `ipvs.scheduler` and no more.

        Source: EKS best practices, "Running kube-proxy in IPVS Mode".
        """
        mode = self.spec.kube_proxy.mode
        ipvs = {"ipvs": {"scheduler": self.spec.kube_proxy.ipvs.scheduler}} if mode == "ipvs" else {}
        return json.dumps({"mode": mode, **ipvs})

    def ami(self, architecture: Architecture) -> str:
        """The AMI id of a record.

        Raises:
            InputError: The record has none.
        """
        if architecture not in self.amis:
            raise InputError(
                f"the build record has no AMI of {self.plan.platform}/{architecture} in {self.spec.aws.region}",
                "build it (`amigen build --target aws`), or leave out --record",
            )
        return self.amis[architecture]

    def fixed_ami(self, architecture: Architecture) -> str | None:
        """The AMI id, where one is known: of a record, or a source AMI that the spec names by its id.

        Raises:
            InputError: The record has none.
        """
        if self.image == "stock":
            return self.source(architecture).image or None
        return self.ami(architecture) if self.image == "record" else None

    def parameter(self, architecture: Architecture) -> str:
        """The SSM parameter that holds the AMI id: that of `amigen publish`, or the public one of the source AMI.

        Raises:
            InputError: No public parameter names the source AMI.
        """
        if self.image != "stock":
            return f"/amigen/{self.spec.name}/{self.plan.platform}/{architecture}"
        found = self.source(architecture).parameter
        if not found:
            raise InputError(
                f"no SSM parameter names the source AMI of {self.plan.platform}",
                f"name one in the spec: `aws.sourceAmis.{self.plan.platform}.ssmParameter`",
            )
        return found

    def source(self, architecture: Architecture) -> Source:
        """Where the source AMI is looked up."""
        return source_of(self.spec, self.plan.platform, architecture)

    def instance_type(self, architecture: Architecture) -> str:
        """The instance type of the nodes: that of the spec, or a small one."""
        return self.spec.aws.launch_template.instance_types.get(architecture, INSTANCE_TYPES[architecture])

    @property
    def volume(self) -> dict[str, Any]:
        """See `root_volume`."""
        return root_volume(self.spec)

    def tags(self, architecture: Architecture | None = None) -> dict[str, str]:
        """The tags of instances and volumes."""
        more = {"amigen/architecture": architecture} if architecture else {}
        return dict(sorted({**image_tags(self.plan), **more}.items()))

    def require_join(self, tool: str) -> None:
        """Where nothing adds what joins the node, the spec has to.

        Raises:
            InputError: It does not, or no image of the platform can.
        """
        if self.fact.joins_by is None:
            raise InputError(
                f"{self.plan.platform} has no EKS image, so {tool} cannot launch nodes of it",
                "choose another with --platform",
            )
        if not self.by_nodeadm and self.spec.join.eks is None:
            raise InputError(
                f"{tool} adds nothing to the user data of {self.plan.platform}, and the spec does not join a cluster",
                "name the cluster in `join.eks`",
            )

    def require_cluster(self) -> str:
        """The name of the cluster.

        Raises:
            InputError: It is not known.
        """
        found = self.cluster or (self.spec.join.eks.name if self.spec.join.eks else "")
        if not found:
            raise InputError("the spec names no cluster", "name it: --cluster NAME, or `join.eks` in the spec")
        return found


def root_volume(spec: NodeImage) -> dict[str, Any]:
    """The root volume by EC2's names, as launch templates have them."""
    volume = spec.aws.root_volume
    return {
        "VolumeSize": volume.size_gib,
        "VolumeType": volume.type,
        "DeleteOnTermination": True,
        **({"Iops": volume.iops} if volume.iops else {}),
        **({"Throughput": volume.throughput} if volume.throughput else {}),
        **({"Encrypted": True} if spec.aws.encryption.enabled else {}),
    }


def logical(prefix: str, architecture: Architecture) -> str:
    """A logical id of CloudFormation, which takes letters and digits."""
    return prefix + architecture.replace("_", "").title()


def text(export: Export) -> str:
    """The user data as text.

    Raises:
        InputError: It is packed as a whole, or holds a part that is no text.
    """
    try:
        return export.user_data.decode()
    except UnicodeDecodeError:
        raise InputError("the user data is not UTF-8 text", "look at it: `amigen user-data explain SPEC`") from None
