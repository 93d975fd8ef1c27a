"""A kernel module on a testinfra host, for tests of users' own: each property asks the host anew, in one round trip."""

from __future__ import annotations

from typing import Any

from amigen.facts import Facts, Wanted
from amigen.facts.modules import Availability, normal
from amigen.testing.gather import gather


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
    def _facts(self) -> Facts:
        return gather(self._host.backend, Wanted(modules=(self.name,)))

    @property
    def is_loaded(self) -> bool:
        """It is in /proc/modules, and live. A module that is built in is not; see `is_builtin`."""
        return self.name in self._facts.loaded

    @property
    def is_builtin(self) -> bool:
        """It is part of the running kernel."""
        facts = self._facts
        return self.name not in facts.loaded and facts.is_loaded(self.name)

    def availability(self, kernel: str | None = None) -> Availability:
        """What a kernel, by default the running one, has of the module."""
        facts = self._facts
        return facts.availability(self.name, kernel or facts.kernel)

    def is_available(self, kernel: str | None = None) -> bool:
        """The kernel, by default the running one, has it as a file with all it depends on, or built in."""
        return self.availability(kernel).is_available

    @property
    def persisted_by(self) -> str | None:
        """The file below modules-load.d that loads it at every boot."""
        return self._facts.persisted.get(self.name)

    @property
    def is_persisted(self) -> bool:
        """systemd-modules-load loads it at every boot."""
        return self.persisted_by is not None


def find_kernels(host: Any) -> tuple[str, ...]:
    """Releases of the kernels that are installed, running or not."""
    # Kernels are gathered along with any module.
    return gather(host.backend, Wanted(modules=("ip_vs",))).kernels
