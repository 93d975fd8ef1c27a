"""The command line as a user has it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.specs import ROOT

COMMAND = [sys.executable, "-m", "amigen"]
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": str(ROOT),
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
}


def run(
    *arguments: str, cwd: Path = ROOT, stdin: bytes = b"", code: int | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run amigen; whatever it is given, it may not end in a traceback.

    Args:
        code: What it must end with; None: anything.
        environment: More than `ENVIRONMENT`.
    """
    env = {**ENVIRONMENT, **environment}
    command = [*COMMAND, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False, cwd=cwd, env=env)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert "Traceback" not in said, said
    assert code is None or done.returncode == code, said
    return done
