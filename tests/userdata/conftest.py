"""cloud-init as the judge of user data."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"


class Seen(NamedTuple):
    """A part as cloud-init hands it to its handler."""

    type: str
    filename: str
    content: bytes


class Left(NamedTuple):
    """What cloud-init's handlers leave on the disk."""

    error: str
    scripts: tuple[tuple[str, bytes], ...]
    early: tuple[tuple[str, bytes], ...]
    config: dict[str, Any]


@pytest.fixture(scope="session")
def cloud_init_leaves() -> Callable[[bytes], Left]:
    """Hands user data to cloud-init's own handlers: scripts in the order in which it runs them, cloud-config merged."""
    have = subprocess.run([SYSTEM_PYTHON, "-c", "import cloudinit.user_data"], capture_output=True, check=False)
    if have.returncode:
        pytest.skip("needs the system package cloud-init")

    def read(document: bytes) -> Left:
        script = Path(__file__).with_name("cloudinit_runs.py")
        done = subprocess.run(
            [SYSTEM_PYTHON, str(script)], input=document, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        said = json.loads(done.stdout)

        def texts(name: str) -> tuple[tuple[str, bytes], ...]:
            return tuple((file, text.encode("utf-8", "surrogateescape")) for file, text in said[name])

        return Left(said["error"], texts("scripts"), texts("early"), said["config"])

    return read


@pytest.fixture(scope="session")
def cloud_init() -> Callable[[bytes], list[Seen]]:
    """Reads user data with cloud-init's own code."""
    have = subprocess.run([SYSTEM_PYTHON, "-c", "import cloudinit.user_data"], capture_output=True, check=False)
    if have.returncode:
        pytest.skip("needs the system package cloud-init")

    def read(document: bytes) -> list[Seen]:
        script = Path(__file__).with_name("cloudinit_reads.py")
        done = subprocess.run(
            [SYSTEM_PYTHON, str(script)], input=document, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return [
            Seen(p["type"], p["filename"], base64.b64decode(p.get("script", p["content"])))
            for p in json.loads(done.stdout)
        ]

    return read
