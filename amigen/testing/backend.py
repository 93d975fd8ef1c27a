"""amigen's connections as backends of testinfra."""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from amigen.connections import connect
from amigen.connections.model import Connection, Target


class ConnectionBackend(BaseBackend):
    """A backend over a connection, or over one to `target`."""

    NAME = "amigen"

    def __init__(
        self, hostname: str, *args: Any, target: Target | None = None, over: Connection | None = None, **kwargs: Any
    ) -> None:
        super().__init__(hostname, *args, **kwargs)
        if over is None:
            assert target is not None
            over = connect(target)
        self.over = over
        self.NAME = over.target.kind
        # testinfra would run Python on the target to find out.
        self._encoding = "utf-8"

    def get_pytest_id(self) -> str:
        return "local" if self.NAME == "local" else f"{self.NAME}://{self.hostname}"

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        text = self.get_command(command, *args)
        done = self.over.run(text)
        return self.result(done.returncode, text.encode("utf-8", "surrogateescape"), done.stdout, done.stderr)


def backend_over(connection: Connection) -> ConnectionBackend:
    """The backend of a connection."""
    return ConnectionBackend(connection.target.name, over=connection)
