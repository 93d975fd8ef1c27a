"""What can be proved of a node. A check is data: the rendered testinfra suite and `amigen verify` both come from it.

`needs` says what a target must have for the check to prove something:
`files` any root file system, also one that is not running; `boot` a running systemd; `kernel` a kernel of its own
(a container borrows its host's); `cluster` a node that has joined its cluster.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

Needs = Literal["files", "boot", "kernel", "cluster"]


class Check(Struct, frozen=True, kw_only=True):
    """Base of the checks.

    Attributes:
        test: Name of the test function in the rendered suite.
        needs: What the target must have.
        image: True for checks of an image before its first boot (hygiene); they are wrong on a booted node.
    """

    test: ClassVar[str]
    needs: ClassVar[Needs] = "files"
    image: ClassVar[bool] = False

    @property
    def subject(self) -> str:
        """What is checked, unique within its kind."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The name of the check everywhere: in plans, reports and pytest, such as `test_package[ipvsadm]`."""
        return f"{self.test}[{self.subject}]"


class PackageCheck(Check, frozen=True, kw_only=True):
    """A package is installed, in this version where one is given."""

    test = "test_package"
    name: str
    version: str | None = None

    @property
    def subject(self) -> str:
        return self.name


class FileCheck(Check, frozen=True, kw_only=True):
    """A file has this content, owner, group and mode."""

    test = "test_file"
    path: str
    sha256: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"

    @property
    def subject(self) -> str:
        return self.path


class PersistedCheck(Check, frozen=True, kw_only=True):
    """systemd-modules-load will load the module at every boot (modules-load.d(5))."""

    test = "test_module_persisted"
    module: str

    @property
    def subject(self) -> str:
        return self.module


class EveryKernelCheck(Check, frozen=True, kw_only=True):
    """Each installed kernel has the module and its dependencies, as a file or built in."""

    test = "test_module_in_every_kernel"
    module: str

    @property
    def subject(self) -> str:
        return self.module


class LoadedCheck(Check, frozen=True, kw_only=True):
    """The module is loaded or built in, before any probe could have loaded it."""

    test = "test_module_loaded"
    needs = "kernel"
    module: str

    @property
    def subject(self) -> str:
        return self.module


class SchedulerCheck(Check, frozen=True, kw_only=True):
    """A virtual service with this scheduler can be made, in a network namespace of its own."""

    test = "test_scheduler"
    needs = "kernel"
    scheduler: str

    @property
    def subject(self) -> str:
        return self.scheduler


class ConnTabCheck(Check, frozen=True, kw_only=True):
    """ip_vs runs with a connection table of 2**bits buckets."""

    test = "test_connection_table"
    needs = "kernel"
    bits: int

    @property
    def subject(self) -> str:
        return str(2**self.bits)


class SysctlCheck(Check, frozen=True, kw_only=True):
    """A kernel parameter has this value; white space inside is folded as the kernel does."""

    test = "test_sysctl"
    needs = "kernel"
    key: str
    value: str

    @property
    def subject(self) -> str:
        return self.key


class KernelVersionCheck(Check, frozen=True, kw_only=True):
    """The running kernel is at least this."""

    test = "test_kernel_version"
    needs = "kernel"
    minimum: tuple[int, int]

    @property
    def subject(self) -> str:
        return f"{self.minimum[0]}.{self.minimum[1]}"


class CommandCheck(Check, frozen=True, kw_only=True):
    """A command is on the node and runs: `nft --version` answers."""

    test = "test_command"
    command: str
    argument: str = "--version"

    @property
    def subject(self) -> str:
        return self.command


class UnitEnabledCheck(Check, frozen=True, kw_only=True):
    """A systemd unit is started at boot."""

    test = "test_unit_enabled"
    unit: str

    @property
    def subject(self) -> str:
        return self.unit


class UnitActiveCheck(Check, frozen=True, kw_only=True):
    """A systemd unit is active now."""

    test = "test_unit_active"
    needs = "boot"
    unit: str

    @property
    def subject(self) -> str:
        return self.unit


class HookCheck(Check, frozen=True, kw_only=True):
    """A hook script with this very content has run to its end on this node or its image."""

    test = "test_hook"
    name: str
    sha256: str

    @property
    def subject(self) -> str:
        return self.name


class ReleaseCheck(Check, frozen=True, kw_only=True):
    """`/etc/amigen/release.json` names this spec, by name and digest."""

    test = "test_release"
    name: str
    digest: str

    @property
    def subject(self) -> str:
        return self.name


class CloudInitCheck(Check, frozen=True, kw_only=True):
    """cloud-init has ended and without an error."""

    test = "test_cloud_init"
    needs = "boot"

    @property
    def subject(self) -> str:
        return "done"


class CloudInitOnceCheck(Check, frozen=True, kw_only=True):
    """cloud-init has run this instance's user data, and marked that it is not to be run again."""

    test = "test_cloud_init_once"
    needs = "boot"

    @property
    def subject(self) -> str:
        return "user-data"


class NoFailedUnitCheck(Check, frozen=True, kw_only=True):
    """No systemd unit has failed, but for those that must where nothing says which cluster to join."""

    test = "test_no_failed_unit"
    needs = "boot"
    besides: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return "systemd"


HygieneSubject = Literal[
    "machine-id",
    "host-keys",
    "cloud-init",
    "logs",
    "package-cache",
    "authorized-keys",
    "shell-history",
    "temporary-files",
    "random-seed",
    "hostname",
    "device-identity",
    "kubelet-state",
    "leases",
    "dumps-and-stamps",
    "account-backups",
]


class HygieneCheck(Check, frozen=True, kw_only=True):
    """Nothing of the builder is left in the image: two nodes of one image must not be twins."""

    test = "test_hygiene"
    image = True
    what: HygieneSubject

    @property
    def subject(self) -> str:
        return self.what


class JoinedCheck(Check, frozen=True, kw_only=True):
    """A kubelet runs on this node; provable only on a node of the cluster."""

    test = "test_joined"
    needs = "cluster"

    @property
    def subject(self) -> str:
        return "kubelet"
