"""Facts: what one node has and does, as typed values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from amigen.facts.modules import Availability, normal
from amigen.facts.surroundings import Surroundings
from amigen.facts.sysctls import CAT_SYSCTLS, set_at_boot


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command did; its code is 0 to 255."""

    code: int
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, kw_only=True)
class File:
    """What is at a path, links followed.

    Attributes:
        mode: Four octal digits, such as `0644`.
        kind: As stat(1) prints it: `regular file`, `directory`, ...
        sha256: Of its content; empty for what is no readable file.
    """

    mode: str
    uid: str
    user: str
    gid: str
    group: str
    size: int
    kind: str
    sha256: str = ""

    @property
    def is_file(self) -> bool:
        """A regular file, which may be empty."""
        return self.kind.startswith("regular")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was gathered from one node.

    Attributes:
        surroundings: Whether it is a machine, a container or an unpacked root.
        kernel: The running kernel's release; in a container, that of its host.
        loaded: Modules that are live in /proc/modules.
        kernels: Releases of the installed kernels.
        modules: Kernel -> module -> what the kernel has of it.
        persisted: Module -> the file of modules-load.d(5) that names it.
        obstacles: Module -> why systemd-modules-load does not load it, with file and line.
        option_settings: Where modprobe's configuration sets `conn_tab_bits` of ip_vs: lines that end with `=VALUE`.
        packages: Name -> versions: epoch, version and release of an RPM, the version of a deb; none of what is not
            installed. A package of which the package manager did not tell is not in it.
        files: Path -> attributes, of what exists.
        texts: Path -> content.
        settings: Path below /proc/sys -> value.
        commands: Command -> what it did.
        enabled, active: Unit -> the states of systemctl(1).
        failed: Rows of `systemctl list-units --failed`; None: systemctl did not answer.
        connection_table_bits: The parameter conn_tab_bits of ip_vs; None: ip_vs is not loaded.
        schedulers: Scheduler -> what ipvsadm did; none where the kernel is not the node's own.
        builtin_without_files: Modules that sysfs lists, for a running kernel that has no files.
    """

    surroundings: Surroundings = field(default_factory=Surroundings)
    kernel: str = ""
    loaded: frozenset[str] = frozenset()
    kernels: tuple[str, ...] = ()
    modules: Mapping[str, Mapping[str, Availability]] = field(default_factory=dict)
    persisted: Mapping[str, str] = field(default_factory=dict)
    obstacles: Mapping[str, str] = field(default_factory=dict)
    option_settings: tuple[str, ...] = ()
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Answer] = field(default_factory=dict)
    enabled: Mapping[str, str] = field(default_factory=dict)
    active: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] | None = None
    connection_table_bits: int | None = None
    schedulers: Mapping[str, Answer] = field(default_factory=dict)
    builtin_without_files: frozenset[str] = frozenset()

    @property
    def knows_sysctls_at_boot(self) -> bool:
        """systemd-sysctl said what it reads."""
        return self.commands.get(CAT_SYSCTLS, Answer(code=127)).code == 0

    def sysctl_at_boot(self, path: str) -> tuple[str, str] | None:
        """The value of a path below /proc/sys that is set last at boot, and its file; None: no file sets it."""
        return set_at_boot(self.commands[CAT_SYSCTLS].stdout, path)

    def is_loaded(self, module: str) -> bool:
        """The module is loaded, or part of the running kernel."""
        name = normal(module)
        if name in self.loaded:
            return True
        of_kernel = self.modules.get(self.kernel)
        if of_kernel is None:
            return name in self.builtin_without_files
        return of_kernel.get(name, Availability()).builtin

    def availability(self, module: str, kernel: str) -> Availability:
        """What an installed kernel has of the module."""
        return self.modules.get(kernel, {}).get(normal(module), Availability())

    def answer(self, *words: str) -> Answer:
        """What a command did, as its words.

        Raises:
            KeyError: It is not among the commands that were gathered.
        """
        return self.commands[shlex.join(words)]

    def package(self, name: str) -> tuple[str, ...]:
        """The installed versions of a package.

        Raises:
            RuntimeError: The package manager did not answer.
        """
        if name not in self.packages:
            raise RuntimeError(f"neither rpm nor dpkg-query answers for {name}")
        return self.packages[name]
