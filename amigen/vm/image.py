"""A disk image, with what is needed to boot it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from amigen.errors import InputError
from amigen.spec.values import Architecture
from amigen.tools import find_program, run_capped, run_tool

KERNEL_SUFFIX, INITRD_SUFFIX = ".vmlinuz", ".initrd"


@dataclass(frozen=True, kw_only=True)
class VmImage:
    """A disk, and its kernel and initrd where it has no boot loader.

    Attributes:
        disk: The disk image; never written to.
        format: `qcow2` or `raw`.
        kernel, initrd: Files beside it; None for a disk with a boot loader.
        append: Kernel command line that goes with `kernel`.
    """

    disk: Path
    format: str
    architecture: Architecture = "x86_64"
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = "root=/dev/vda rw"

    @classmethod
    def at(cls, disk: Path, architecture: Architecture = "x86_64") -> VmImage:
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
        )


def image_info(disk: Path) -> dict[str, object]:
    """What `qemu-img info` says: `format`, `virtual-size` in bytes, ...

    Raises:
        InputError: There is no such file, or it is not a disk image.
    """
    if not disk.is_file():
        raise InputError(f"{disk}: there is no such image file")
    program = find_program("qemu-img", package="qemu-utils", purpose="read disk images")
    done = run_capped([program, "info", "--force-share", "--output=json", str(disk)], timeout=60)
    if done.returncode != 0:
        raise InputError(f"{disk}: not a disk image: {done.stderr.decode(errors='replace').strip()}")
    return msgspec.json.decode(done.stdout, type=dict[str, object])


def make_overlay(image: VmImage, overlay: Path, *, size_gib: int | None = None) -> None:
    """A throw-away qcow2 on top of the image, which stays as it is."""
    program = find_program("qemu-img", package="qemu-utils", purpose="make disk overlays")
    command = [program, "create", "-q", "-f", "qcow2", "-F", image.format, "-b", str(image.disk), str(overlay)]
    if size_gib is not None:
        command.append(f"{size_gib}G")
    run_tool(command, doing=f"make an overlay of {image.disk}", timeout=60)
