"""The plan as types. A plan is frozen; it is made by `amigen.plan.make.plan_images` and read by everything else."""

from __future__ import annotations

from msgspec import Struct

from amigen.checks.model import (
    ApplySysctls,
    Check,
    CleanImage,
    InstallGate,
    InstallPackages,
    JoinCluster,
    LoadModules,
    PackageRequest,
    RunHook,
    Stage,
    Step,
    WriteFile,
    WriteRelease,
)
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform

__all__ = [
    "ApplySysctls",
    "CleanImage",
    "ImagePlan",
    "InstallGate",
    "InstallPackages",
    "JoinCluster",
    "LoadModules",
    "PackageRequest",
    "RunHook",
    "Stage",
    "Step",
    "WriteFile",
    "WriteRelease",
]


class ImagePlan(Struct, frozen=True, kw_only=True):
    """What will be on the nodes of one platform.

    Attributes:
        spec: The spec it was made from.
        digest: sha256 of the spec's content, hexadecimal; the same for two spellings of one spec.
        steps: In the order in which they run.
        always: Checks of the whole, besides those of the steps.
    """

    spec: NodeImage
    digest: str
    platform: Platform
    architectures: tuple[Architecture, ...]
    steps: tuple[Step, ...]
    always: tuple[Check, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks, each once, in the order of the steps."""
        seen: dict[str, Check] = {}
        for step in self.steps:
            for check in step.checks:
                seen.setdefault(check.id, check)
        for check in self.always:
            seen.setdefault(check.id, check)
        return tuple(seen.values())
