"""Facts through any testinfra backend, in one round trip."""

from __future__ import annotations

import subprocess
from typing import Any

from amigen.facts import Facts, Wanted
from amigen.facts import gather as facts_gather
from amigen.facts.surroundings import Surroundings


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
