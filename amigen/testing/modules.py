"""Kernel modules on a testinfra host, for tests of users' own: each property is one or two commands."""

from __future__ import annotations

from typing import Any

from amigen.facts.modules import (
    LIST_KERNELS,
    LIST_PERSISTED,
    LOADED,
    LOOK_UP,
    RUNNING_KERNEL,
    Availability,
    names_pattern,
    normal,
    parse_loaded,
    parse_look_up,
    parse_persisted,
)


class KernelModule:
    """A kernel module on a testinfra host.

    >>> kernel_module("ip_vs_rr").is_loaded
    True
    """

    def __init__(self, host: Any, name: str) -> None:
        self._host = host
        self.name = normal(name)

    def __repr__(self) -> str:
        return f"<kernel_module {self.name}>"

    @property
    def is_loaded(self) -> bool:
        """It is in /proc/modules, and live. A module that is built in is not; see `is_builtin`."""
        return self.name in parse_loaded(self._host.run(LOADED).stdout)

    @property
    def is_builtin(self) -> bool:
        """It is part of the running kernel."""
        kernel = running_kernel(self._host)
        answer = self._host.run(LOOK_UP, kernel, names_pattern([self.name]))
        if answer.rc == 0:
            return parse_look_up(answer.stdout, self.name).builtin
        # Without the kernel's files: it lists in sysfs what it has, whether loaded or built in.
        return not self.is_loaded and bool(self._host.file(f"/sys/module/{self.name}").is_directory)

    def availability(self, kernel: str | None = None) -> Availability:
        """What a kernel, by default the running one, has of the module."""
        kernel = kernel or running_kernel(self._host)
        answer = self._host.run(LOOK_UP, kernel, names_pattern([self.name]))
        return parse_look_up(answer.stdout, self.name)

    def is_available(self, kernel: str | None = None) -> bool:
        """The kernel, by default the running one, has it as a file with all it depends on, or built in."""
        return self.availability(kernel).is_available

    @property
    def persisted_by(self) -> str | None:
        """The file below modules-load.d that loads it at every boot."""
        return parse_persisted(self._host.run(LIST_PERSISTED).stdout).get(self.name)

    @property
    def is_persisted(self) -> bool:
        """systemd-modules-load loads it at every boot."""
        return self.persisted_by is not None


def running_kernel(host: Any) -> str:
    """The release of the running kernel, as `uname -r` prints it."""
    return str(host.run(RUNNING_KERNEL).stdout).strip()


def installed_kernels(host: Any) -> tuple[str, ...]:
    """Releases of the kernels that are installed, running or not."""
    return tuple(sorted(str(host.run(LIST_KERNELS).stdout).split()))
