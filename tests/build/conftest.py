"""Fixtures of the builds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="ab-", dir="/tmp") as name:
        yield Path(name)
