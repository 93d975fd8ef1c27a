"""A local image, for real: Packer, QEMU, cloud-init, the package manager, the checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from amigen.vm.image import image_info
from tests.testbed.dnf_standin import dnf_standin

pytestmark = pytest.mark.slow

APT = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: apt
kubernetesVersion: "1.34"
platforms: [debian-12]
kubeProxy: {mode: ipvs, ipvs: {scheduler: lc, connTabBits: 16}}
"""
# The stand-in calls itself Amazon Linux 2023; it proves what dnf and rpm do, nothing of Amazon's kernel or packages.
DNF = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: dnf
kubernetesVersion: "1.34"
platforms: [al2023]
local: {bases: {al2023: {path: %s}}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="ab-", dir="/tmp") as name:
        yield Path(name)


def build(folder: Path, text: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "spec.yaml").write_text(text)
    command = [sys.executable, "-m", "amigen", "build", "spec.yaml", "--target", "local", *more]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=3600, check=False)


def scratch_folders(folder: Path) -> list[Path]:
    return [*folder.glob(f"amigen-{os.getuid()}/*")]


def proven(folder: Path, name: str, platform: str, package: str) -> None:
    """An image, with its record, and nothing else left."""
    record = json.loads((folder / f"amigen-build/{name}/local.json").read_text())
    [image] = record["images"]
    assert (image["outcome"], image["verified"]) == ("built", True)
    assert any(each.startswith(package) for each in image["packages"]["added"])
    assert image["packages"]["removed"] == {}
    assert set(image["kernel"]["modules"].values()) <= {"loaded", "built in"}
    assert {check["when"] for check in image["checks"]} == {"builder", "cleaned", "image"}
    assert {check["outcome"] for check in image["checks"]} <= {"passed", "not provable"}
    assert list(image["phases"])[:3] == ["base", "boot the builder", "bootstrap"]
    disk = Path(folder / f"amigen-build/{name}/{platform}-x86_64/disk.qcow2")
    assert "backing-filename" not in image_info(disk)
    assert scratch_folders(folder) == []


def test_the_apt_family(folder: Path) -> None:
    done = build(folder, APT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Packer 1.6.6" in done.stderr
    assert "processor: " in done.stderr
    proven(folder, "apt", "debian-12", "ipvsadm")


def test_the_dnf_stand_in(folder: Path) -> None:
    done = build(folder, DNF % (dnf_standin() / "disk.qcow2"))
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "dnf", "al2023", "ipvsadm")


def test_a_failing_check_leaves_no_image(folder: Path) -> None:
    """A hook breaks what an earlier step made: the one check that sees it is named."""
    hook = "hooks: {after: [{name: break, script: 'echo ip_vs >/etc/modules-load.d/ipvs.conf'}]}\n"
    done = build(folder, APT + hook)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "test_module_persisted[ip_vs_rr]" in done.stderr
    assert "expected" in done.stderr
    assert not (folder / "amigen-build/apt/debian-12-x86_64").exists()
    assert scratch_folders(folder) == []
    [record] = (folder / "amigen-build/apt/builds").glob("*/record.json")
    [image] = json.loads(record.read_text())["images"]
    assert (image["outcome"], image["verified"]) == ("failed", False)
