"""Files of Go modules, which the tests read as their makers have written them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

# As in go.sum: what the proxy serves is what was read when the tests were written.
_SUMS = {
    "github.com/aws/karpenter-provider-aws@v1.14.1": "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs=",
    "github.com/weaveworks/eksctl@v0.215.0": "h1:oCPoubT3UsW4Y2J43Y4dNRvXHEIsgg03Y3e6wv6bKG4=",
}


def module_file(module: str, version: str, path: str) -> Path:
    """A file of a module in Go's cache, which `go mod download` fills; else the current test is skipped."""
    folder = _folder(f"{module}@{version}")
    if folder is None:
        pytest.skip(f"not proven here: no Go toolchain, or {module} cannot be downloaded")
    return folder / path


@cache
def _folder(module: str) -> Path | None:
    if not shutil.which("go"):
        return None
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            ["go", "mod", "download", "-json", module],
            cwd=empty,
            env={**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    assert found["Sum"] == _SUMS[module]
    return Path(found["Dir"])
