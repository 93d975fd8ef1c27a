"""The command line in a folder of its own, and specs to give it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run
from tests.specs import mapping

Amigen = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def amigen(tmp_path: Path) -> Amigen:
    """Runs amigen in a folder of its own; whatever it is given, it may not end in a traceback."""
    return partial(run, cwd=tmp_path)


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[..., str]:
    """Writes a spec, the smallest one with changes."""

    def write(*changes: dict[str, Any], name: str = "spec.yaml") -> str:
        (tmp_path / name).write_text(yaml.safe_dump(mapping(*changes), sort_keys=False, allow_unicode=True))
        return name

    return write
