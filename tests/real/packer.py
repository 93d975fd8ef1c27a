"""Today's Packer with its plugins, as `packer init` would have installed them."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path

from tests.real.build import TOOLS, program

_PLUGINS = ("amazon", "qemu")


@cache
def _plugin_folder() -> Path:
    """A folder for PACKER_PLUGIN_PATH, beside the built Packer.

    Layout: https://developer.hashicorp.com/packer/docs/configure#packer-s-plugin-directory
    """
    folder = program("packer").parent.parent / "plugins"
    for name in _PLUGINS:
        source = program(f"packer-plugin-{name}")
        module = (TOOLS / source.name / "go.mod").read_text()
        version = re.search(rf"hashicorp/packer-plugin-{name} (v[0-9.]+)", module)
        assert version is not None
        place = folder / f"github.com/hashicorp/{name}" / f"{source.name}_{version[1]}_x5.0_linux_amd64"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(source, place)
        checksum = hashlib.sha256(place.read_bytes()).hexdigest()
        place.with_name(f"{place.name}_SHA256SUM").write_text(checksum)
    return folder


def packer_environment() -> dict[str, str]:
    """What makes `packer` today's Packer with its plugins; skips the test where they are not built."""
    path = f"{program('packer').parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PACKER_PLUGIN_PATH": str(_plugin_folder()), "CHECKPOINT_DISABLE": "1"}


def run_packer(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run today's Packer in a folder."""
    env = {**os.environ, **packer_environment(), "PACKER_NO_COLOR": "1"}
    return subprocess.run(
        ["packer", *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
    )
