"""Containers that run under podman: `podman://CONTAINER`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult

from amigen.base.errors import InputError
from amigen.connections.model import SHELL, Connection, Kind, Target


class Podman(Connection):
    """Scripts run by `podman exec`."""

    form = "podman://CONTAINER"
    kind: Kind = "podman"
    program = ("podman", "podman")

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", url.netloc) or url.path not in ("", "/"):
            raise InputError(f"{text}: not the name of a container", f"write {cls.form}")
        return Target(text=text, kind=cls.kind, name=url.netloc)

    def command(self) -> Sequence[str]:
        return self.executable, "exec", "-i", self.target.name, *SHELL


CONNECTION = Podman
