"""The plan as a type. A plan is frozen; it is made by `amigen.plan.make.plan_images` and read by everything else."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from amigen.checks.model import (
    ApplySysctls,
    Check,
    InstallGate,
    InstallPackages,
    LoadModules,
    PackageRequest,
    Step,
    WriteFile,
)
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform

S = TypeVar("S", bound=Step)


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
        for check in (*(check for step in self.steps for check in step.checks), *self.always):
            seen.setdefault(check.id, check)
        return tuple(seen.values())

    def steps_of(self, kind: type[S]) -> list[S]:
        """The steps of one kind."""
        return [step for step in self.steps if isinstance(step, kind)]

    @property
    def packages(self) -> list[PackageRequest]:
        """What is installed."""
        return [package for step in self.steps_of(InstallPackages) for package in step.packages]

    @property
    def gate(self) -> InstallGate | None:
        """The gate, where the plan has one."""
        return next(iter(self.steps_of(InstallGate)), None)

    @property
    def files(self) -> list[WriteFile]:
        """What is written, the gate's files included."""
        return [*(self.gate.all_files if self.gate else ()), *self.steps_of(WriteFile)]

    @property
    def has_private_files(self) -> bool:
        """A file is not for everybody, and so is no text that holds it."""
        return any(not int(file.mode, 8) & 0o004 for file in self.files)

    @property
    def modules(self) -> list[str]:
        """What is loaded."""
        return [module for step in self.steps_of(LoadModules) for module in step.modules]

    @property
    def sysctls(self) -> dict[str, str]:
        """The kernel parameters that are set."""
        return {key: value for step in self.steps_of(ApplySysctls) for key, value in step.values}
