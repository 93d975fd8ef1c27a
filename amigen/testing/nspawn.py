"""A testinfra connection to a folder, by systemd-nspawn: `nspawn:///FOLDER`.

As chroot, with /proc, /dev and a network namespace of its own; nothing is booted and nothing is registered with machined.
"""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult


class NspawnBackend(BaseBackend):
    """Runs each command in a container of its own."""

    NAME = "nspawn"

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        text = self.get_command(command, *args)
        done = self.run_local(
            "systemd-nspawn --quiet --register=no --keep-unit --as-pid2 --pipe -D %s /bin/sh -c %s", self.hostname, text
        )
        done.command = self.encode(text)
        return done
