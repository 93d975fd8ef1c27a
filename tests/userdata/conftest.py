"""cloud-init as the judge of user data."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"


class Seen(NamedTuple):
    """A part as cloud-init hands it to its handler."""

    type: str
    filename: str
    content: bytes


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
