"""The command line as a user has it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.specs import ROOT, mapping

Amigen = Callable[..., "subprocess.CompletedProcess[bytes]"]
COMMAND = [sys.executable, "-m", "amigen"]
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": str(ROOT),
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
}


@pytest.fixture
def amigen(tmp_path: Path) -> Amigen:
    """Runs amigen in a folder of its own; whatever it is given, it may not end in a traceback."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
            env={**ENVIRONMENT, **environment},
        )
        assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
        return done

    return run


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[..., str]:
    """Writes a spec, the smallest one with changes."""

    def write(*changes: dict[str, Any], name: str = "spec.yaml") -> str:
        (tmp_path / name).write_text(yaml.safe_dump(mapping(*changes), sort_keys=False, allow_unicode=True))
        return name

    return write
