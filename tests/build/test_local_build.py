"""A local image, for real: Packer, QEMU, cloud-init, the package manager, the checks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from amigen.vm.image import image_info
from tests.build.processes import started
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


def command(folder: Path, text: str) -> tuple[list[str], dict[str, Any]]:
    (folder / "spec.yaml").write_text(text)
    words = [sys.executable, "-m", "amigen", "build", "spec.yaml", "--target", "local"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder)}
    return words, {"cwd": folder, "env": env}


def build(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    words, given = command(folder, text)
    return subprocess.run(words, **given, capture_output=True, text=True, timeout=3600, check=False)


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


def processes(folder: Path, program: str = "") -> list[str]:
    """Command lines that name the folder, of what runs now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if str(folder) in line and program in line.split(" ")[0]]


def until(happens: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.2)


def test_ended_builds_leave_nothing_and_the_next_one_works(folder: Path) -> None:
    """Ended while the builder's VM boots; after SIGKILL, the temporary folder is what the next build removes."""
    words, given = command(folder, APT)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        with started(words, **given) as process:
            until(lambda: bool(processes(folder, "qemu-system")), process)
            process.send_signal(number)
            said, _ = process.communicate(timeout=300)
            assert process.returncode == code, said
        until(lambda: not processes(folder))
        assert not (folder / "amigen-build/apt/debian-12-x86_64").exists()
        assert bool(scratch_folders(folder)) == (number == signal.SIGKILL)
    the_apt_family(folder)


def the_apt_family(folder: Path) -> None:
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
