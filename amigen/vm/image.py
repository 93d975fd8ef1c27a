"""A disk image, with what is needed to boot it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from amigen.base.errors import InputError
from amigen.base.files import read_at_most
from amigen.base.processes import find_program, run_capped, run_tool
from amigen.knowledge import Architecture
from amigen.vm.scratch import scratch

# Of a boot sector, which every partition table has (GPT: a protective one), and of ext2, ext3 and ext4.
_BOOT_MARK_AT, _BOOT_MARK = 510, b"\x55\xaa"
_EXT_MARK_AT, _EXT_MARK = 1024 + 0x38, b"\x53\xef"
_SECTORS = 4096
# What images are delivered in -> where its mark is (file(1)), and what unpacks it.
_PACKED = {
    "a gzip file": (0, b"\x1f\x8b", "gunzip"),
    "an xz file": (0, b"\xfd7zXZ\0", "unxz"),
    "a zstd file": (0, b"\x28\xb5\x2f\xfd", "unzstd"),
    "a bzip2 file": (0, b"BZh", "bunzip2"),
    "a zip archive": (0, b"PK\x03\x04", "unzip"),
    "a tar archive": (257, b"ustar", "tar -xf"),
}
KERNEL_SUFFIX, INITRD_SUFFIX = ".vmlinuz", ".initrd"


@dataclass(frozen=True, kw_only=True)
class VmImage:
    """A disk, and its kernel and initrd where it has no boot loader.

    Attributes:
        disk: The disk image; never written to.
        format: `qcow2` or `raw`.
        kernel, initrd: Files beside it; None for a disk with a boot loader.
        uefi: On x86_64, start the boot loader by UEFI and not by BIOS.
    """

    disk: Path
    format: str
    architecture: Architecture = "x86_64"
    kernel: Path | None = None
    initrd: Path | None = None
    uefi: bool = False

    @classmethod
    def at(cls, disk: Path, architecture: Architecture = "x86_64", *, uefi: bool = False) -> VmImage:
        """The image in this file; `DISK.vmlinuz` and `DISK.initrd` beside it (suffix replaced) are its kernel.

        Raises:
            InputError: There is no such file, or QEMU does not know it as a disk.
        """
        info = image_info(disk)
        kernel, initrd = disk.with_suffix(KERNEL_SUFFIX), disk.with_suffix(INITRD_SUFFIX)
        return cls(
            disk=disk.resolve(),
            format=str(info["format"]),
            architecture=architecture,
            kernel=kernel.resolve() if kernel.is_file() else None,
            initrd=initrd.resolve() if kernel.is_file() and initrd.is_file() else None,
            uefi=uefi,
        )


def qemu_img(*words: str) -> list[str]:
    """A command of qemu-img(1).

    Raises:
        ToolError: It is not installed.
    """
    return [find_program("qemu-img", package="qemu-utils", purpose="read and make disk images"), *words]


def image_info(disk: Path) -> dict[str, object]:
    """What `qemu-img info` says: `format`, `virtual-size` in bytes, ...

    Raises:
        InputError: There is no such file, or it is not a disk image.
    """
    if not disk.is_file():
        raise InputError(f"{disk}: there is no such image file")
    if not os.access(disk, os.R_OK):
        raise InputError(f"{disk}: no permission to read it")
    done = run_capped(qemu_img("info", "--force-share", "--output=json", str(disk)), timeout=60)
    if done.returncode != 0:
        raise InputError(f"{disk}: not a disk image: {done.stderr.decode(errors='replace').strip()}")
    return msgspec.json.decode(done.stdout, type=dict[str, object])


def require_bootable(image: VmImage) -> None:
    """Refuse what no machine starts from: QEMU takes any file for a disk, and a guest that is not there for minutes.

    Raises:
        InputError: The image is empty, incomplete or damaged; or no kernel lies beside it, and its first sectors hold
            no partition table (their mark is that of a boot sector, too) and no ext file system.
    """
    size = image_info(image.disk)["virtual-size"]
    _require_whole(image)
    start = _first_sectors(image) if size else b""
    if not start:
        raise InputError(f"{image.disk}: it is empty", "is it the right file?")
    for kind, (at, mark, unpack) in _PACKED.items():
        if start[at:].startswith(mark):
            raise InputError(f"{image.disk}: this is {kind}, not a disk image", f"unpack it first: {unpack} FILE")
    found = (start[_BOOT_MARK_AT:][:2] == _BOOT_MARK, start[_EXT_MARK_AT:][:2] == _EXT_MARK)
    if image.kernel is None and not any(found):
        raise InputError(
            f"{image.disk}: not bootable: no partition table and no file system",
            f"is it the right file? a disk without a boot loader needs its kernel beside it, DISK{KERNEL_SUFFIX}",
        )


def _require_whole(image: VmImage) -> None:
    """QEMU reads zeros where a cut qcow2 file ends; qemu-img(1), check: 1 not checked, 2 corrupted."""
    done = run_capped(qemu_img("check", "-q", "-U", "-f", image.format, str(image.disk)), timeout=600)
    if done.returncode in (1, 2):
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["qemu-img check fails"]
        raise InputError(
            f"{image.disk}: the image is incomplete or damaged: {said[0]}",
            "copy or download it again, with its backing file if it has one",
        )


def _first_sectors(image: VmImage) -> bytes:
    """As the guest sees them."""
    if image.format == "raw":
        return read_at_most(image.disk, _SECTORS)
    with scratch("look") as folder:
        start = folder / "sectors"
        command = qemu_img("dd", "-U", "-f", image.format, "-O", "raw", f"bs={_SECTORS}", "count=1")
        run_tool([*command, f"if={image.disk}", f"of={start}"], doing=f"read {image.disk}", timeout=60)
        return start.read_bytes()


def make_overlay(image: VmImage, overlay: Path, *, size_gib: int | None = None) -> None:
    """A throw-away qcow2 on top of the image, which stays as it is."""
    size = () if size_gib is None else (f"{size_gib}G",)
    files = ("-F", image.format, "-b", str(image.disk), str(overlay))
    command = qemu_img("create", "-q", "-f", "qcow2", *files, *size)
    run_tool(command, doing=f"make an overlay of {image.disk}", timeout=60)
