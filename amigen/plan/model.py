"""The plan as types. A plan is frozen; it is made by `amigen.plan.make.plan_images` and read by everything else."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from amigen.plan.checks import Check
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform

# Where a step runs. `both`: in the image build and in user data, the same code; `user-data`: only on the node (join);
# `image`: only in the build (hygiene).
Stage = Literal["both", "user-data", "image"]


class Step(Struct, frozen=True, kw_only=True):
    """One thing that is done to a node, with the checks that prove it.

    Attributes:
        title: What is done, in plain words.
        checks: What proves it; never empty.
    """

    kind: ClassVar[str]
    title: str
    checks: tuple[Check, ...]
    stage: Stage = "both"


class PackageRequest(Struct, frozen=True, kw_only=True):
    """A package and the exact version, or None for whatever the source has."""

    name: str
    version: str | None = None


class InstallPackages(Step, frozen=True, kw_only=True):
    """Install what is missing."""

    kind = "packages"
    packages: tuple[PackageRequest, ...]


class WriteFile(Step, frozen=True, kw_only=True):
    """Write a file atomically; what somebody else left there is kept beside it."""

    kind = "file"
    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"


class LoadModules(Step, frozen=True, kw_only=True):
    """Load modules now, after looking for them in every installed kernel."""

    kind = "modules"
    modules: tuple[str, ...]
    conn_tab_bits: int | None = None


class ApplySysctls(Step, frozen=True, kw_only=True):
    """Set kernel parameters now, from the file that sets them at boot."""

    kind = "sysctls"
    path: str
    values: tuple[tuple[str, str], ...]


class RunHook(Step, frozen=True, kw_only=True):
    """Run a script of the user's."""

    kind = "hook"
    name: str
    script: str
    once: bool = True


class InstallGate(Step, frozen=True, kw_only=True):
    """Make kubelet wait for `amigen-ready.service`.

    Attributes:
        files: The unit and its script.
        drop_ins: One per unit that waits; the same content in each.
    """

    kind = "gate"
    files: tuple[WriteFile, ...]
    drop_ins: tuple[WriteFile, ...]
    unit: str

    @property
    def all_files(self) -> tuple[WriteFile, ...]:
        """All files of the gate."""
        return (*self.files, *self.drop_ins)

    @property
    def units(self) -> tuple[str, ...]:
        """The systemd units that wait."""
        # /etc/systemd/system/UNIT.d/FILE
        return tuple(file.path.split("/")[-2].removesuffix(".d") for file in self.drop_ins)


class WriteRelease(Step, frozen=True, kw_only=True):
    """Write `/etc/amigen/release.json`."""

    kind = "release"
    path: str


class JoinCluster(Step, frozen=True, kw_only=True):
    """Join the cluster: a NodeConfig for nodeadm, or a call of `/etc/eks/bootstrap.sh`."""

    kind = "join"
    by: Literal["nodeadm", "bootstrap.sh"]


class CleanImage(Step, frozen=True, kw_only=True):
    """Remove what must not be in an image."""

    kind = "clean"


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
