"""The machine that amigen runs on: `local`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult

from amigen.connections.model import Connection, Target
from amigen.connections.ssh import AS_ROOT


class Local(Connection):
    """Scripts run as root, by sudo where need be."""

    form = "local"

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        return Target(text=text, kind="local", name="local")

    def command(self) -> Sequence[str]:
        return "/bin/sh", "-c", AS_ROOT


CONNECTION = Local
