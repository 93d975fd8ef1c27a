"""Facts through any testinfra backend, in one round trip, and what a testinfra host is."""

from __future__ import annotations

import subprocess
from typing import Any

from amigen.facts import Facts, Wanted
from amigen.facts import gather as facts_gather
from amigen.facts.surroundings import LOOK_AROUND, Surroundings, parse_surroundings


class _Over:
    """A backend of testinfra, as what `amigen.facts.gather` asks."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.surroundings = Surroundings(chroot=True) if getattr(backend, "NAME", "") == "chroot" else None

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        done = self._backend.run(script)
        return subprocess.CompletedProcess(script, done.rc, done.stdout_bytes, done.stderr_bytes)


def gather(backend: Any, wanted: Wanted) -> Facts:
    """Run the script on a testinfra backend and read what it printed; raises as `amigen.facts.gather`."""
    return facts_gather(_Over(backend), wanted)


def find_surroundings(host: Any) -> Surroundings:
    """What a testinfra host is: a chroot, a container, a machine that systemd has booted."""
    if getattr(getattr(host, "backend", None), "NAME", "") == "chroot":
        return Surroundings(chroot=True)
    # LOOK_AROUND has no argument, so that testinfra does not format its `%`.
    return parse_surroundings(host.run(LOOK_AROUND).stdout)
