"""Local builds as processes of their own, and what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amigen.vm.image import image_info
from tests.build.processes import running

APT = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: apt
kubernetesVersion: "1.34"
platforms: [debian-12]
kubeProxy: {mode: ipvs, ipvs: {scheduler: lc, connTabBits: 16}}
local: {bases: {debian-12: {mmdebstrap: true}}}
"""
# Installs nothing: for faults that have nothing to do with what is installed.
LIGHT = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: light
kubernetesVersion: "1.34"
platforms: [debian-12]
kubeProxy: {mode: iptables}
local: {bases: {debian-12: {mmdebstrap: true}}}
"""
# The stand-in calls itself Amazon Linux 2023; it proves what dnf and rpm do, nothing of Amazon's kernel or packages.
DNF = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: dnf
kubernetesVersion: "1.34"
platforms: [al2023]
gate: true
local: {bases: {al2023: {path: %s}}}
"""


def command(folder: Path, text: str, file: str = "spec.yaml") -> tuple[list[str], dict[str, Any]]:
    (folder / file).write_text(text)
    words = [sys.executable, "-m", "amigen", "build", file, "--target", "local"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder)}
    return words, {"cwd": folder, "env": env}


def build(
    folder: Path, text: str, environment: dict[str, str] | None = None, timeout: int = 3600
) -> subprocess.CompletedProcess[str]:
    words, given = command(folder, text)
    given["env"] |= environment or {}
    return subprocess.run(words, **given, capture_output=True, text=True, timeout=timeout, check=False)


def scratch_folders(folder: Path) -> list[Path]:
    return [*folder.glob(f"amigen-{os.getuid()}/*")]


def proven(
    folder: Path,
    name: str,
    platform: str,
    *packages: str,
    record: Path | None = None,
    architecture: str = "x86_64",
) -> None:
    """An image, with its record (that of what stands now, or this one), and nothing else left."""
    path = record or folder / f"amigen-build/{name}/local.json"
    [image] = json.loads(path.read_text())["images"]
    assert (image["outcome"], image["verified"]) == ("built", True)
    added = image["packages"]["added"]
    assert bool(added) == bool(packages)
    assert all(any(each.startswith(package) for each in added) for package in packages)
    assert image["packages"]["removed"] == {}
    assert set(image["kernel"]["modules"].values()) <= {"loaded", "built in"}
    assert {check["when"] for check in image["checks"]} == {"builder", "cleaned", "image"}
    assert {check["outcome"] for check in image["checks"]} <= {"passed", "not provable"}
    assert list(image["phases"])[:3] == ["base", "boot the builder", "bootstrap"]
    disk = Path(folder / f"amigen-build/{name}/{platform}-{architecture}/disk.qcow2")
    assert "backing-filename" not in image_info(disk)
    assert left_in(folder) == []


def left_in(folder: Path) -> list[str]:
    """What a build left in its TMPDIR, beside what it was given and made."""
    own = [path.name for path in scratch_folders(folder)]
    return own + [
        path.name
        for path in folder.iterdir()
        if path.suffix != ".yaml" and path.name not in ("amigen-build", f"amigen-{os.getuid()}")
    ]


def processes(folder: Path, program: str = "") -> list[str]:
    """Command lines that name the folder, of what runs now."""
    return [line for line in running(str(folder)) if program in line.split(" ")[0]]


def until(happens: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.2)


def read_until(process: subprocess.Popen[str], phase: str) -> None:
    """As far as this phase."""
    assert process.stdout is not None
    for line in process.stdout:
        if phase in line:
            return
