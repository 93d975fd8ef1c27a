"""A hook in the middle of a build: Packer asks amigen whether to continue.

Packer's `shell-local` runs this module as a program; it passes the event on to the socket of the build, waits for the
answer and ends with it: 0 to go on, 1 to give up. When the build is gone, so is the answer, and Packer cleans up.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amigen.base.quoting import sh

# Where every build of the rendered files asks.
EVENTS = frozenset({"started", "proven", "clean"})


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where the build is, and how its machine is reached.

    Attributes:
        name: `started`, `proven` (after bootstrap and reboot) or `clean` (after the cleaning).
        instance: EC2 instance id; empty for a local VM.
    """

    name: str
    instance: str
    host: str
    port: int
    user: str


class HookServer:
    """Answers the events of one build, one at a time, in a thread of its own.

    Args:
        answer: Called for each event; the build gives up when it raises, and the error is kept in `failure`.
    """

    def __init__(self, path: Path, answer: Callable[[Event], None]) -> None:
        self.path, self._answer = path, answer
        self.failure: Exception | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="packer-hook")

    @property
    def command(self) -> str:
        """What the variable `hook` of the Packer files is set to."""
        # The very amigen that asks, wherever it was started from.
        here = Path(__file__).parent.parent.parent
        return f"exec env PYTHONPATH={sh(here)} {sh(sys.executable)} -m amigen.build.hook {sh(self.path)}"

    def __enter__(self) -> HookServer:
        self._socket.bind(str(self.path))
        self._socket.listen(1)
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        # Wakes the thread from accept(); close() alone does not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        with connection.makefile("r", encoding="utf-8") as stream:
            fields = json.loads(stream.readline() or "{}")
        try:
            self._answer(Event(**fields))
            objection = ""
        except Exception as error:
            # Whatever it is, it must end the build and reach the main thread.
            self.failure = self.failure or error
            objection = str(error) or type(error).__name__
        with contextlib.suppress(OSError):
            connection.sendall((json.dumps(objection) + "\n").encode())


def main(path: str) -> int:
    """Pass the event of the environment on, and wait for the answer."""
    event = {
        "name": os.environ["AMIGEN_EVENT"],
        "instance": os.environ.get("AMIGEN_INSTANCE", ""),
        "host": os.environ.get("AMIGEN_HOST", ""),
        "port": int(os.environ.get("AMIGEN_PORT") or 22),
        "user": os.environ.get("AMIGEN_USER", ""),
    }
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall((json.dumps(event) + "\n").encode())
            with connection.makefile("r", encoding="utf-8") as stream:
                objection = json.loads(stream.readline() or '"amigen is gone"')
    except OSError as error:
        objection = f"amigen is gone: {error}"
    if objection:
        print(objection)
    return 1 if objection else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
