"""An unpacked root by systemd-nspawn: `nspawn:///FOLDER`.

As chroot, with /proc and /dev of its own; nothing is booted and nothing is registered with machined.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult

from amigen.connections.model import SHELL, Connection, Target, folder_of


class Nspawn(Connection):
    """Each script runs in a container of its own."""

    form = "nspawn:///FOLDER"
    program = ("systemd-nspawn", "systemd-container")

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        return Target(text=text, kind="nspawn", name=folder_of(text, url))

    def command(self) -> Sequence[str]:
        words = ("--quiet", "--register=no", "--keep-unit", "--as-pid2", "--pipe", "-D", self.target.name)
        return self.executable, *words, *SHELL


CONNECTION = Nspawn
