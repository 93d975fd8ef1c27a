"""What user data meets at a first boot: a package manager that is busy, a network that is not there yet."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.node.conftest import Node, fresh_node

pytestmark = pytest.mark.slow

# Holds a lock as dpkg, rpm and unattended-upgrades do (fcntl), says so, and lets go after some seconds.
HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def lock_of(node: Node) -> Path:
    """The lock that an installation holds; rpm's own, which also those take who go around dnf."""
    path = (
        "/var/lib/dpkg/lock-frontend" if node.platform != "al2023" else node.run("rpm --eval '%_rpmlock_path'").strip()
    )
    return node.root / path.lstrip("/")


@contextmanager
def held(path: Path, seconds: float) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.kill()


def test_it_waits_for_the_lock_of_another_package_manager(node: Node) -> None:
    """Another one works for 20 seconds: the run waits for it, and then succeeds."""
    with held(lock_of(node), 20):
        started = time.monotonic()
        done = node.bootstrap(node.plan())
        waited = time.monotonic() - started
    assert done.returncode == 0, done.stdout
    assert waited > 15
    assert "ipvsadm" in node.run("command -v ipvsadm")


def test_a_lock_that_is_never_released_ends_the_run(node: Node) -> None:
    """Bounded, and the last line names the package."""
    with held(lock_of(node), 600):
        done = node.bootstrap(node.plan(packageSources={"timeoutSeconds": 60}))
    assert done.returncode == 1
    assert "cannot install ipvsadm within 60 s" in done.stdout.splitlines()[-1]


class Proxy(BaseHTTPRequestHandler):
    """A plain HTTP proxy for the package mirror, so that the network can be missing for a while."""

    def do_GET(self) -> None:
        try:
            with urllib.request.urlopen(self.path, timeout=60) as answer:
                body = answer.read()
                self.send_response(answer.status)
        except urllib.error.HTTPError as error:
            body = b""
            self.send_response(error.code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_it_tries_again_until_the_network_is_there(tmp_path: Path) -> None:
    """The proxy answers only after 10 seconds: the first try fails and says so, a later one succeeds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers: list[ThreadingHTTPServer] = []

    def start() -> None:
        servers.append(ThreadingHTTPServer(("127.0.0.1", port), Proxy))
        servers[0].serve_forever()

    with fresh_node("ubuntu-24.04", tmp_path) as node:
        if "http://" not in node.run("cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null"):
            pytest.skip("the mirror of this machine is not plain HTTP, which the proxy of this test cannot forward")
        timer = threading.Timer(10, start)
        timer.daemon = True
        timer.start()
        try:
            done = node.bootstrap(node.plan(packageSources={"proxy": f"http://127.0.0.1:{port}"}))
        finally:
            timer.cancel()
            for server in servers:
                server.shutdown()
    assert done.returncode == 0, done.stdout
    assert "that did not work (" in done.stdout
    assert "again in 2 s" in done.stdout


def test_a_proxy_that_is_wrong_is_named(tmp_path: Path) -> None:
    """Nobody listens there: bounded, and the reason is the package manager's own."""
    with fresh_node("ubuntu-24.04", tmp_path) as node:
        sources = {"proxy": "http://127.0.0.1:9", "timeoutSeconds": 60}
        done = node.bootstrap(node.plan(packageSources=sources))
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert "cannot install ipvsadm within 60 s: " in last
    assert "127.0.0.1" in last or "Unable to locate package" in last
