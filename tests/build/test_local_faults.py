"""Faults of a local build, for real: the VM dies, the disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amigen.vm.bases import built_in_base
from tests.build.local_builds import APT, LIGHT, build, command, left_in, processes, read_until, until
from tests.build.processes import started

pytestmark = pytest.mark.slow

ROOM = 40 << 20


def nothing_is_left(folder: Path) -> None:
    until(lambda: not processes(folder))
    assert left_in(folder) == []
    assert [*folder.glob("amigen-build/*/*.json")] == []
    assert [*folder.glob("amigen-build/*/debian-12-x86_64")] == []


@pytest.mark.parametrize(
    ("phase", "code", "sentence"),
    [
        ("boot the builder", 8, "debian-12/x86_64: Packer failed: "),
        ("bootstrap", 8, "debian-12/x86_64: Packer failed: "),
        ("boot the image", 7, "the VM was powered off during boot"),
    ],
)
def test_the_vm_dies(folder: Path, phase: str, code: int, sentence: str) -> None:
    """Killed by another hand, as by the kernel when memory is short."""
    words, given = command(folder, LIGHT)
    with started(words, **given) as process:
        read_until(process, phase)
        if phase == "boot the image":
            # It runs by then, and not the appliance alone.
            until(lambda: any(folder.glob("amigen-*/verify-*/first/console.log")), process)
        kill_the_vm(folder)
        said, _ = process.communicate(timeout=900)
    assert process.returncode == code, said
    assert sentence in said
    assert "Traceback" not in said
    nothing_is_left(folder)


def kill_the_vm(folder: Path) -> None:
    """Also when it has not yet started, or when an earlier one is just going; the probe of KVM has no disk."""
    pattern = f"^[^ ]*qemu-system.*{folder}[^ ]*disk.qcow2"
    until(lambda: subprocess.run(["pkill", "-KILL", "-f", pattern], check=False).returncode == 0)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        # A process that was killed still holds its files while its memory is taken down.
        until(lambda: subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode == 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which needs root")
@pytest.mark.parametrize("holds_the_base", [False, True])
def test_a_full_disk(folder: Path, holds_the_base: bool) -> None:
    """Too small for the base, which is seen before the build; then large enough, and not for what the guest writes."""
    base = built_in_base("debian-12", "x86_64", log=lambda _line: None).image.disk.stat().st_size
    with small_disk(folder, base + ROOM if holds_the_base else ROOM):
        done = build(folder, APT)
        assert done.returncode == (8 if holds_the_base else 14), done.stdout + done.stderr
        assert (" is full: " if holds_the_base else ": the image needs at least ") in done.stderr
        room = "set TMPDIR to a folder with free space" if holds_the_base else "another folder with --output-folder"
        assert room in done.stderr
        assert "Traceback" not in done.stderr
        nothing_is_left(folder)
