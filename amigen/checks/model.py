"""Steps and checks as types: what is done to a node, and what proves it.

A check is data, and its class is all that amigen knows of its kind: which steps it proves, what it asks a node, how
the rendered suite judges the answer, how a node judges itself, and what a failure explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, ClassVar, Literal, Self

from msgspec import Struct

from amigen.base.quoting import py_block
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage

RELEASE_PATH = "/etc/amigen/release.json"
# Judges at each boot whether the kernel has what this node needs.
GATE_UNIT = "amigen-ready.service"

# What a target must have for a check to prove something. `files`: any root file system, also one that is not running;
# `boot`: a running systemd; `kernel`: a kernel of its own (a container borrows its host's); `cluster`: a node that has
# joined its cluster.
Needs = Literal["files", "boot", "kernel", "cluster"]
# Where a step runs. `both`: in the image build and in user data, the same code; `user-data`: only on the node (join);
# `image`: only in the build (hygiene).
Stage = Literal["both", "user-data", "image"]


class Level(IntEnum):
    """The chain of causes: what fails at one level may explain what fails at a later one, on the same target."""

    IDENTITY = 0
    PACKAGES = 1
    FILES = 2
    BOOT_CONFIGURATION = 3
    KERNEL = 4
    IPVS = 5
    GATE = 6
    NODE = 7
    USER_DATA = 8
    INDEPENDENT = 9


class Check(Struct, frozen=True, kw_only=True):
    """Base of the checks. One module of `amigen.checks` holds a kind, and naming a class there registers it.

    Attributes:
        test: Name of the test function in the rendered suite.
        place: Its place in the suite. Loaded modules are looked at first, and what loads modules comes last.
        level: What a failure may explain.
        needs: What the target must have.
        asks: The kind of facts (a field of `Wanted`) that the first field of the check names; a check that has to ask
            otherwise overrides `wanted`.
        image: True for checks of an image before its first boot (hygiene); they are wrong on a booted node.
        optional: A target on which it is not provable can be proven all the same.
        suite: Python of the rendered suite, with `{table}` for what is checked: the subjects, or subject -> `row` where
            a kind has rows. It may use `explain`, `not_provable`, `json`, `BOOTSTRAP` and `JUDGE_THE_KERNEL`.
        shell: POSIX sh of the document with which a node checks itself: functions that print what is wrong.
        headline, todo: In place of what the failed test says, at the top of a report.
    """

    test: ClassVar[str]
    place: ClassVar[int]
    level: ClassVar[Level] = Level.INDEPENDENT
    needs: ClassVar[Needs] = "files"
    asks: ClassVar[str] = ""
    image: ClassVar[bool] = False
    optional: ClassVar[bool] = False
    suite: ClassVar[str]
    shell: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[str] = ""
    todo: ClassVar[str] = ""

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        """The checks of this kind that prove a step; step None: those of the node as a whole."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """What is checked, unique within its kind: its first field, where a kind says nothing else."""
        return str(self._first)

    @property
    def _first(self) -> Any:
        return getattr(self, self.__struct_fields__[0])

    @property
    def id(self) -> str:
        """The name of the check everywhere: in plans, reports and pytest, such as `test_package[ipvsadm]`."""
        return f"{self.test}[{self.subject}]"

    @property
    def row(self) -> object:
        """What the suite has to know of the subject: the second field, where a kind says nothing else."""
        return getattr(self, self.__struct_fields__[1]) if self._has_rows() else None

    @classmethod
    def _has_rows(cls) -> bool:
        return cls.row is not Check.row or len(cls.__struct_fields__) > 1

    @property
    def wanted(self) -> Wanted:
        """What has to be gathered from a node."""
        return Wanted(**{self.asks: (self._first,)}) if self.asks else Wanted()

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        """The call of its function in `shell`: name and arguments; none where a node does not check it by itself."""
        return ()

    @classmethod
    def table(cls, checks: Sequence[Any]) -> dict[Any, Any] | tuple[Any, ...]:
        """The table of the suite for checks of this kind."""
        rows = {check.subject: check.row for check in checks}
        return rows if cls._has_rows() else tuple(rows)

    @classmethod
    def suite_text(cls, checks: Sequence[Self]) -> str:
        """The part of the rendered suite for checks of this kind."""
        return cls.suite.lstrip("\n").replace("{table}", py_block(cls.table(checks)), 1)


class Step(Struct, frozen=True, kw_only=True):
    """One thing that is done to a node, with the checks that prove it.

    Attributes:
        title: What is done, in plain words.
        checks: What proves it; never empty in a plan.
    """

    kind: ClassVar[str]
    title: str
    checks: tuple[Check, ...] = ()
    stage: Stage = "both"


class PackageRequest(Struct, frozen=True, kw_only=True):
    """A package and the exact version, or None for whatever the source has."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


class InstallPackages(Step, frozen=True, kw_only=True):
    """Install what is missing."""

    kind = "packages"
    packages: tuple[PackageRequest, ...]


class WriteFile(Step, frozen=True, kw_only=True):
    """Write a file atomically; of a file of others, a copy is kept first.

    Attributes:
        modules: Modules that systemd-modules-load reads from it.
    """

    kind = "file"
    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    modules: tuple[str, ...] = ()


class LoadModules(Step, frozen=True, kw_only=True):
    """Load modules now, after looking for them in every installed kernel.

    Attributes:
        conn_tab_bits: Of ip_vs, where the spec sets it.
        schedulers: IPVS schedulers that the modules bring.
    """

    kind = "modules"
    modules: tuple[str, ...]
    conn_tab_bits: int | None = None
    schedulers: tuple[str, ...] = ()


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
    """Start kubelet only on a node that is ready.

    Attributes:
        files: The unit and its script.
        drop_ins: One per unit that starts kubelet; the same content in each.
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
        """The systemd units that start kubelet."""
        # /etc/systemd/system/UNIT.d/FILE
        return tuple(file.path.split("/")[-2].removesuffix(".d") for file in self.drop_ins)


class WriteRelease(Step, frozen=True, kw_only=True):
    """Write `/etc/amigen/release.json`.

    Attributes:
        name, digest: Of the spec.
    """

    kind = "release"
    path: str = RELEASE_PATH
    name: str
    digest: str


class JoinCluster(Step, frozen=True, kw_only=True):
    """Join the cluster: a NodeConfig for nodeadm, or a call of `/etc/eks/bootstrap.sh`."""

    kind = "join"
    by: Literal["nodeadm", "bootstrap.sh"]


class CleanImage(Step, frozen=True, kw_only=True):
    """Remove what must not be in an image."""

    kind = "clean"
