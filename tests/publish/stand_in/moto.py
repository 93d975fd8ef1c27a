"""A real moto server, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from tests.ports import free_port


@contextlib.contextmanager
def moto_server(*, public_images: bool = False) -> Iterator[str]:
    """Start one on a free port of the loopback; yields its URL."""
    port = free_port()
    # Mostly without the thousands of public images that every region would be filled with at each reset.
    env = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": str(public_images).lower()}
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def reset(url: str) -> None:
    """Forget everything."""
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=300).read()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"moto ended with {process.returncode}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).read()
            return
        time.sleep(0.1)
    raise RuntimeError("moto did not start")
