"""Where the gate is on, and what it means that it is off."""

from __future__ import annotations

from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage


def gate_is_on(spec: NodeImage, platform: str) -> bool:
    """Whether kubelet starts only on a node that is ready: as the spec says, else wherever a kubelet can be expected.

    That is, if the spec joins a cluster, and on the EKS image of the platform, whatever joins it: managed node groups
    and Karpenter bring their own part of the user data.
    """
    if spec.gate is not None:
        return spec.gate
    return spec.join.eks is not None or (spec.aws.base_image == "eks" and PLATFORMS[platform].joins_by is not None)


def gate_off(spec: NodeImage, platform: str) -> Problem | None:
    """A note where nothing keeps a node that is not ready from joining; None where the gate is on."""
    if gate_is_on(spec, platform):
        return None
    message = f"the gate is off on {platform}: kubelet starts even where the bootstrap failed or a module is missing"
    if spec.gate is False:
        return Problem(severity="note", path="gate", message=message, hint="remove `gate: false`")
    no_image = PLATFORMS[platform].joins_by is None
    why = "it is on by default for EKS images, and " + (
        f"{platform} has none" if no_image else "aws.baseImage is plain"
    )
    return Problem(severity="note", path="gate", message=message, hint=f"{why}; set `gate: true` if kubelet runs there")
