"""Run a script on a node, as root where that is possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from amigen.base.errors import CouldNotCheckError, InputError
from amigen.connections import connect, parse_target
from amigen.connections.model import Connection, ConnectOptions, UnreachableError

_SECONDS = 60
# The tables of ten thousand services with their endpoints.
_ANSWER_BYTES = 64 << 20


class NodeRunner(Protocol):
    """Runs a POSIX shell script on one node, as root where that is possible."""

    @property
    def name(self) -> str:
        """What messages call the node."""
        ...

    def run(self, script: str) -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr. Raises CouldNotCheckError where the node cannot be reached."""
        ...


@dataclass(frozen=True, kw_only=True)
class ConnectionRunner:
    """A node over a connection, as `amigen verify` has it."""

    connection: Connection

    @property
    def name(self) -> str:
        return self.connection.target.text

    @property
    def host(self) -> str:
        """The host of an ssh target; empty for another."""
        target = self.connection.target
        return target.name if target.kind == "ssh" else ""

    def run(self, script: str) -> tuple[int, bytes, str]:
        try:
            done = self.connection.run(script)
        except UnreachableError as error:
            raise CouldNotCheckError(f"{self.name}: {error.message}", error.hint) from None
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def runner(target: str, options: tuple[str, ...] = ()) -> NodeRunner:
    """A node that a target names, in the grammar of `amigen verify`.

    Args:
        target: Any but an image file or a folder.
        options: More arguments of ssh, such as `-i FILE`.

    Raises:
        InputError: Another form.
        ToolError: The program that reaches it is not installed.
    """
    found = parse_target(target)
    if found.kind in ("image", "chroot", "nspawn"):
        raise InputError(f"{target}: not a node that runs", "use local, ssh://[USER@]HOST[:PORT] or ssm://i-INSTANCE")
    return ConnectionRunner(
        connection=connect(found, ConnectOptions(ssh=options, seconds=_SECONDS, limit=_ANSWER_BYTES))
    )
