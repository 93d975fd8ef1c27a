"""A small stand-in of AWS Systems Manager that really runs what it is sent, on this machine.

It speaks the JSON protocol of botocore's service model and has the API's limits: an invocation is not known right after
send_command, runs for a while, and gives the first 24,000 characters of stdout and 8,000 of stderr. It does not prove
permissions, the agent, or what AWS does beyond that. (moto's server answers every command with the same text.)
"""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INSTANCE = "i-0123456789abcdef0"


class SsmServer(ThreadingHTTPServer):
    """The server; `scripts` is what it was sent, `override` an answer in place of the real one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts: list[str] = []
        self.looks: dict[str, int] = {}
        self.found: dict[str, dict[str, Any]] = {}
        self.override: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def send_command(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if request["InstanceIds"] != [INSTANCE]:
            return 400, {"__type": "InvalidInstanceId", "Message": "Instances not in a valid state for account"}
        assert request["DocumentName"] == "AWS-RunShellScript"
        script = "\n".join(request["Parameters"]["commands"])
        self.scripts.append(script)
        done = subprocess.run(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        command = str(uuid.uuid4())
        self.found[command] = {
            "CommandId": command,
            "InstanceId": INSTANCE,
            "Status": "Success" if done.returncode == 0 else "Failed",
            "StatusDetails": "Success" if done.returncode == 0 else "Failed",
            "ResponseCode": done.returncode,
            "StandardOutputContent": done.stdout.decode()[:24_000],
            "StandardErrorContent": done.stderr.decode()[:8_000],
        } | self.override
        return 200, {"Command": {"CommandId": command}}

    def get_command_invocation(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        command = request["CommandId"]
        self.looks[command] = self.looks.get(command, 0) + 1
        if self.looks[command] == 1:
            return 400, {"__type": "InvocationDoesNotExist", "Message": ""}
        if self.looks[command] == 2:
            running = {"Status": "InProgress", "StandardOutputContent": "", "StandardErrorContent": ""}
            return 200, self.found[command] | running
        return 200, self.found[command]


class _Handler(BaseHTTPRequestHandler):
    server: SsmServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].removeprefix("AmazonSSM.")
        operations = {
            "SendCommand": self.server.send_command,
            "GetCommandInvocation": self.server.get_command_invocation,
        }
        status, answer = operations[operation](request)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Tests are quiet."""


@contextmanager
def ssm_server() -> Iterator[SsmServer]:
    """A running server."""
    server = SsmServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
