"""Where the top-level folders `templates/`, `packer/` and `docs/` are, and the shell in them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

Folder = Literal["templates", "packer", "docs"]


@cache
def folder(name: Folder) -> Path:
    """Where one is: in the wheel beside this package, in a checkout at its top."""
    package = Path(__file__).parent.parent
    shipped = package / f"_{name}"
    return shipped if shipped.is_dir() else package.parent / name


@cache
def shell_library(name: str) -> str:
    """Shell functions, by the name of their file in `templates/lib`."""
    return (folder("templates") / "lib" / name).read_text(encoding="utf-8")
