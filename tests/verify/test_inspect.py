"""What an image file holds, seen without booting it; and that the checks see all that they look for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from amigen.plan.model import ImagePlan
from amigen.render.suite import LEFTOVERS
from amigen.verify.inspect import FOLDERS, partitions
from amigen.verify.run import Options
from amigen.verify.vm import IMAGE, _look_into
from amigen.vm import VmImage
from tests.verify.images import proof_plan

# In a command's words: where a path begins, and what it leads to.
_PATH = re.compile(r"(?<![\w./*'-])((?:boot|dev|efi|etc|home|lib|opt|root|run|srv|tmp|usr|var)(?:/[\w./-]+)?)(?![\w.])")


def test_all_that_the_checks_look_at_is_copied_out() -> None:
    """A place that is not would pass unseen."""
    looked_at = {f"/{path}" for command, _why in LEFTOVERS.values() for path in _PATH.findall(command)}

    assert {"/etc/machine-id", "/var/lib/cloud/data", "/boot/efi/loader/random-seed", "/root"} <= looked_at
    assert [path for path in looked_at if not any(f"{path}/".startswith(f"{folder}/") for folder in FOLDERS)] == []


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    return proof_plan(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A file system with the folders of a clean root."""
    root = tmp_path / "root"
    for folder in ("etc/ssh", "root", "home", "tmp", "var/log", "var/lib/systemd", "boot/efi/loader"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    file = tmp_path / "disk.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(file), "8M"], check=True)
    return file


def failed(plan: ImagePlan, disk: Path, work: Path) -> set[str]:
    work.mkdir(exist_ok=True)
    results, _seconds = _look_into(plan, Options(), VmImage.at(disk), work)()
    assert {result.phase for result in results} == {IMAGE}
    assert {result.outcome for result in results} <= {"passed", "failed"}
    return {result.id for result in results if result.outcome == "failed"}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["raw", "qcow2"])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/etc/ssh/ssh_host_ed25519_key", "test_hygiene[host-keys]"),
        ("/etc/machine-id", "test_hygiene[machine-id]"),
        ("/var/log/syslog", "test_hygiene[logs]"),
        ("/boot/efi/loader/random-seed", "test_hygiene[random-seed]"),
    ],
)
def test_what_is_left_in_an_image_is_red(
    plan: ImagePlan, disk: Path, tmp_path: Path, form: str, place: str, expected: str
) -> None:
    """Written into the image file itself, as a builder would have left it; without it all is green."""
    assert failed(plan, disk, tmp_path / "clean") == set()
    left = tmp_path / "left"
    left.write_text("left by the builder\n")
    _write(disk, left, place)
    if form == "qcow2":
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(tmp_path / "disk.qcow2")], check=True)
        disk = tmp_path / "disk.qcow2"

    assert failed(plan, disk, tmp_path / "work") == {expected}


def _write(disk: Path, file: Path, place: str) -> None:
    command = ["debugfs", "-w", "-R", f"write {file} {place}", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Allocated inode" in done.stderr + done.stdout, done.stderr


MIB = 1 << 20


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mkfs.vfat") or not shutil.which("mcopy"), reason="needs dosfstools and mtools")
@pytest.mark.parametrize("seed", [True, False, None])
def test_a_seed_on_the_efi_partition_is_red(plan: ImagePlan, disk: Path, tmp_path: Path, seed: bool | None) -> None:
    """As systemd-boot leaves it there, which no file system of the root shows; None: it was there and was removed."""
    efi = tmp_path / "efi.raw"
    subprocess.run(["mkfs.vfat", "-C", str(efi), "4096"], check=True, capture_output=True)
    (tmp_path / "random-seed").write_bytes(b"x" * 32)
    commands = [["mmd", "-i", str(efi), "::/loader"]]
    if seed is not False:
        commands.append(["mcopy", "-i", str(efi), str(tmp_path / "random-seed"), "::/loader/random-seed"])
    if seed is None:
        commands.append(["mdel", "-i", str(efi), "::/loader/random-seed"])
    for command in commands:
        subprocess.run(command, check=True)
    whole = tmp_path / "whole.raw"
    with whole.open("wb") as stream:
        stream.truncate(16 * MIB)
        for place, part in ((1, efi), (6, disk)):
            stream.seek(place * MIB)
            stream.write(part.read_bytes())
    table = "label: gpt\nstart=1MiB,size=4MiB,type=uefi\nstart=6MiB,size=8MiB\n"
    subprocess.run(["sfdisk", "-q", str(whole)], input=table, text=True, check=True)

    assert failed(plan, whole, tmp_path / "work") == ({"test_hygiene[random-seed]"} if seed else set())


def test_which_partition_is_of_efi() -> None:
    table = """{"partitiontable": {"sectorsize": 512, "partitions": [
        {"start": 2048, "size": 8, "type": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
        {"start": 1, "size": 1, "type": "83"}, {"start": 3, "size": 1, "type": "ef"}]}}"""
    assert [(p.offset, p.efi) for p in partitions(table)] == [(1048576, True), (512, False), (1536, True)]
