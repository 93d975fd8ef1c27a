"""An unpacked root: `chroot:///FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult

from amigen.connections.model import SHELL, Connection, Target, folder_of
from amigen.facts.surroundings import Surroundings


class Chroot(Connection):
    """Scripts run in the folder as their root; only root may do that."""

    form = "chroot:///FOLDER"
    program = ("chroot", "coreutils")
    surroundings = Surroundings(chroot=True)

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        return Target(text=text, kind="chroot", name=folder_of(text, url))

    def command(self) -> Sequence[str]:
        return self.executable, self.target.name, *SHELL


CONNECTION = Chroot
