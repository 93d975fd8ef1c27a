"""Look into an image file without booting or mounting it: debugfs(8) copies out the folders that tell of a builder."""

from __future__ import annotations

import json
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import CouldNotCheckError, ToolError
from amigen.base.processes import find_program, run_capped, run_tool
from amigen.vm import VmImage

# All that the hygiene checks look at (amigen.render.suite.LEFTOVERS).
FOLDERS = (
    "/etc",
    "/root",
    "/home",
    "/tmp",  # noqa: S108 - of the image
    "/var/tmp",  # noqa: S108
    "/var/log",
    "/var/cache/apt",
    "/var/cache/dnf",
    "/var/lib/apt/lists",
    "/var/lib/cloud",
    "/var/lib/dbus",
    "/var/lib/dnf",
    "/var/lib/systemd",
    "/boot/efi",
    "/efi",
)
# Of GPT and of MBR (UEFI specification, 5.2 and 5.3).
_EFI_TYPES = ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EF")
# A long name's one entry in a directory of FAT: its number, 5 characters, its kind, 6 characters, an end, filled up.
# Source: Microsoft, FAT32 File System Specification, "Long Directory Entries".
_RANDOM_SEED = re.compile(
    re.escape(b"\x41" + "rando".encode("utf-16-le") + b"\x0f\x00")
    + b"."
    + re.escape("m-seed".encode("utf-16-le") + b"\x00\x00" + b"\x00\x00\xff\xff"),
    re.DOTALL | re.IGNORECASE,
)
_MAGIC_OFFSET, _EXT_MAGIC = 1024 + 0x38, b"\x53\xef"


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Where a file system begins, in bytes, and how many it has (0: all); `efi`: of the boot loader, which is FAT."""

    offset: int = 0
    size: int = 0
    efi: bool = False


def copy_folders(image: VmImage, work: Path) -> Path:
    """A folder in `work` with the image's FOLDERS, as far as it has them.

    Raises:
        CouldNotCheckError: The image has no ext2, ext3 or ext4 file system that can be read this way.
        ToolError: A program is missing or failed.
    """
    disk = _raw(image, work)
    found = partitions(_partition_table(disk))
    offset = _root_offset(disk, found)
    root = work / "image-root"
    root.mkdir()
    lines = []
    for folder in FOLDERS:
        parent = root / Path(folder).parent.relative_to("/")
        parent.mkdir(parents=True, exist_ok=True)
        lines.append(f'rdump {folder} "{parent}"\n')
    commands = work / "debugfs.commands"
    commands.write_text("".join(lines))
    program = find_program("debugfs", package="e2fsprogs", purpose="look into the image")
    # debugfs says on stderr which folders there are not; whether it could read at all, the folder shows.
    run_tool(
        [program, "-f", str(commands), f"{disk}?offset={offset}" if offset else str(disk)],
        doing=f"look into {image.disk}",
        timeout=600,
    )
    if not (root / "etc" / "passwd").is_file():
        raise CouldNotCheckError(f"{image.disk}: no root file system can be read in it without booting it")
    if any(_holds_random_seed(disk, partition) for partition in found if partition.efi):
        seed = root / "boot/efi/loader/random-seed"
        seed.parent.mkdir(parents=True, exist_ok=True)
        seed.touch()
    return root


def _holds_random_seed(disk: Path, partition: Partition) -> bool:
    """Whether a directory of the EFI partition, which is FAT, names such a file; a removed one has another number."""
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return bool(_RANDOM_SEED.search(content, partition.offset, partition.offset + partition.size))


def _raw(image: VmImage, work: Path) -> Path:
    """The disk without the qcow2 around it; sparse, so that only what is used takes room."""
    if image.format == "raw":
        return image.disk
    raw = work / "disk.raw"
    qemu_img = find_program("qemu-img", package="qemu-utils", purpose="read disk images")
    run_tool(
        [qemu_img, "convert", "-U", "-q", "-f", image.format, "-O", "raw", str(image.disk), str(raw)],
        doing=f"unpack {image.disk}",
        timeout=1800,
    )
    return raw


def _root_offset(disk: Path, found: list[Partition]) -> int:
    """Where the largest ext file system begins: a cloud image has its root there, beside small ones to boot from."""
    candidates = found or [Partition()]
    with disk.open("rb") as stream:
        for partition in sorted(candidates, key=lambda p: -p.size):
            stream.seek(partition.offset + _MAGIC_OFFSET)
            if stream.read(2) == _EXT_MAGIC:
                return partition.offset
            stream.seek(partition.offset)
            if stream.read(4) == b"XFSB":
                raise CouldNotCheckError(
                    f"{disk.name}: its file system is XFS, which cannot be read without booting it"
                )
    raise CouldNotCheckError(f"{disk.name}: it has no ext2, ext3 or ext4 file system")


def _partition_table(disk: Path) -> str:
    program = find_program("sfdisk", package="fdisk", purpose="find the image's partitions")
    done = run_capped([program, "--json", str(disk)], timeout=60)
    # A disk without a partition table is an error to sfdisk, and a plain file system to us.
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def partitions(table: str) -> list[Partition]:
    """The partitions of `sfdisk --json`.

    Raises:
        ToolError: It is something else.
    """
    if not table.strip():
        return []
    try:
        found = json.loads(table)["partitiontable"]
        sector = int(found.get("sectorsize", 512))
        rows = found.get("partitions", [])
        return [
            Partition(
                offset=int(p["start"]) * sector, size=int(p["size"]) * sector, efi=str(p["type"]).upper() in _EFI_TYPES
            )
            for p in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"sfdisk printed no partition table: {type(error).__name__}") from None
