"""Hosts for tests: a testinfra host over a backend that answers from a table, so that nothing is run anywhere."""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host


class TableBackend(BaseBackend):
    """Answers from a table of command -> (code, stdout); a command that is not in it fails the test."""

    NAME = "table"

    def __init__(self, table: dict[str, tuple[int, str]]) -> None:
        super().__init__("table")
        self.table = table
        self.asked: list[str] = []

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        text = self.quote(command, *args)
        self.asked.append(text)
        code, stdout = self.table[text]
        return self.result(code, text.encode(), stdout.encode(), b"")


def table_host(table: dict[str, tuple[int, str]]) -> Any:
    """A host with these answers."""
    return Host(TableBackend(table))


def os_release(name: str) -> dict[str, tuple[int, str]]:
    """What testinfra asks before it chooses, on a Linux with this `ID`."""
    return {
        "uname -s": (0, "Linux\n"),
        "uname -m": (0, "x86_64\n"),
        "cat /etc/os-release": (0, f'NAME="Some Linux"\nID="{name}"\nVERSION_ID="2023"\n'),
        "command -v command": (0, "command\n"),
    }
