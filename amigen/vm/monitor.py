"""QEMU's monitor, as far as it is needed (https://www.qemu.org/docs/master/interop/qmp-spec.html)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from amigen.base.errors import ToolError


class Monitor:
    """Commands over QMP, one connection each."""

    def __init__(self, path: Path) -> None:
        self.socket = path

    def command(self, name: str, timeout: float = 120, **arguments: Any) -> Any:
        """Run a QMP command and return its answer.

        Raises:
            ToolError: QEMU is gone or refuses.
        """
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(str(self.socket))
                stream = connection.makefile("rw", encoding="utf-8")
                stream.readline()
                _ask(stream, {"execute": "qmp_capabilities"})
                return _ask(stream, {"execute": name, "arguments": arguments})
        except (OSError, ValueError) as error:
            raise ToolError(f"QEMU's monitor does not answer: {error}") from None

    def human(self, line: str) -> str:
        """Run a command of the human monitor; what it prints is an error for those that print nothing."""
        said = str(self.command("human-monitor-command", timeout=600, **{"command-line": line}))
        if said.strip():
            raise ToolError(f"QEMU: {line}: {said.strip()}")
        return said


def _ask(stream: Any, request: dict[str, Any]) -> Any:
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    while True:
        answer = json.loads(stream.readline())
        if "error" in answer:
            raise ToolError(f"QEMU refuses {request['execute']}: {answer['error'].get('desc')}")
        if "return" in answer:
            return answer["return"]
