"""Where the AMI that a build starts from is looked up: by the spec, and by what amigen knows of the platform. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform


@dataclass(frozen=True, kw_only=True)
class Source:
    """Exactly one of `image`, `parameter` and `name_filter` is set; `owners` go with the last."""

    image: str = ""
    parameter: str = ""
    name_filter: str = ""
    owners: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Text for messages."""
        if self.image:
            return f"the AMI {self.image}"
        return f"parameter {self.parameter}" if self.parameter else f"{self.name_filter} of {', '.join(self.owners)}"


def source_of(spec: NodeImage, platform: Platform, architecture: Architecture) -> Source:
    """That of one image."""
    fact = PLATFORMS[platform]
    arch = fact.arch_names[architecture]
    own = spec.aws.source_amis.get(platform)
    if own and own.id:
        return Source(image=own.id)
    if own and own.ssm_parameter:
        return Source(parameter=own.ssm_parameter.replace("{arch}", arch))
    if own and own.filter:
        return Source(name_filter=own.filter.name, owners=own.filter.owners)
    parameter = fact.ssm_eks if spec.aws.base_image == "eks" and fact.ssm_eks else fact.ssm_plain
    if parameter:
        return Source(parameter=parameter.format(version=spec.kubernetes_version, arch=arch))
    return Source(name_filter=fact.name_filter.format(arch=arch), owners=(fact.owner,))
