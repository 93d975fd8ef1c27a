"""A disk as distributions publish them: GPT, an EFI partition, GRUB for BIOS and UEFI, a root that cloud-init grows.

It is made of Debian's packages and stands in for Debian's own cloud image, which cannot be reached here. It does not
prove what else that image holds.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from amigen.knowledge import Architecture
from amigen.vm.bases import built_in_recipe
from amigen.vm.cache import cache_key, cached
from amigen.vm.debian_root import in_root, make_root

# Raised when this module makes something else of the same packages.
RECIPE = 1
MIB = 1 << 20
_GIB = 2
_SECTOR = 512
# Start and size in MiB.
_BIOS, _EFI, _ROOT = (1, 1), (2, 32), (34, (_GIB << 10) - 35)
_ROOT_ID, _EFI_ID = "11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666"
_TABLE = f"""\
label: gpt
start={_ROOT[0]}MiB, size={_ROOT[1]}MiB, type=linux, uuid={_ROOT_ID}
start={_BIOS[0]}MiB, size={_BIOS[1]}MiB, type=21686148-6449-6E6F-744E-656564454649
start={_EFI[0]}MiB, size={_EFI[1]}MiB, type=uefi, uuid={_EFI_ID}
"""
_FSTAB = f"PARTUUID={_ROOT_ID} / ext4 rw,errors=remount-ro 0 1\nPARTUUID={_EFI_ID} /boot/efi vfat umask=0077 0 1\n"
_EARLY = "search.fs_label root root\nset prefix=($root)/boot/grub\n"
_MENU = """\
linux /vmlinuz root=PARTUUID=%s ro console=%s panic=-1 mitigations=off no_timer_check
initrd /initrd.img
boot
"""
_MODULES = ("part_gpt", "fat", "ext2", "search", "search_label", "linux", "normal", "configfile", "gzio")
# GRUB's word for the firmware, the name that UEFI looks for, Debian's packages, the serial console.
_ARCHITECTURES: dict[Architecture, tuple[str, str, tuple[str, ...], str]] = {
    "x86_64": ("x86_64-efi", "BOOTX64.EFI", ("grub-efi-amd64-bin", "grub-pc-bin"), "ttyS0"),
    "arm64": ("arm64-efi", "BOOTAA64.EFI", ("grub-efi-arm64-bin",), "ttyAMA0"),
}
_SIGNED = ("shim-signed", "grub-efi-amd64-signed")


def cloud_image(platform: str, architecture: Architecture = "x86_64") -> Path:
    """The disk, a qcow2 from the cache; made in two minutes."""
    return _made(platform, architecture)


def signed_cloud_image(platform: str, change: Callable[[Path], None]) -> Path:
    """The same for x86_64 with the boot loaders that Microsoft and Debian have signed, for UEFI alone.

    Args:
        change: Changes the root; its name is a part of the key.
    """
    return _made(platform, "x86_64", change)


def _made(platform: str, architecture: Architecture, change: Callable[[Path], None] | None = None) -> Path:
    firmware, program, packages, console = _ARCHITECTURES[architecture]
    more = (*packages, *(_SIGNED if change else ()), "grub-common", "cloud-guest-utils", "dosfstools")
    recipe, _ = built_in_recipe(platform, architecture, packages=more)
    name = f"signed-{change.__name__.replace('_', '-')}" if change else "cloud"
    key = cache_key(f"{name}-{platform}-{architecture}", [RECIPE, _TABLE, _FSTAB, _EARLY, _MENU, recipe.inputs()])

    def make(folder: Path) -> None:
        root, work = folder.parent / "root", folder.parent
        make_root(recipe, root, log=print)
        if change:
            change(root)
        (root / "etc/fstab").write_text(_FSTAB)
        (root / "boot/efi").mkdir(exist_ok=True)
        (root / "boot/grub").mkdir(exist_ok=True)
        (root / "boot/grub/grub.cfg").write_text(_MENU % (_ROOT_ID, console))
        disk = work / "disk.raw"
        with disk.open("wb") as file:
            file.truncate(_GIB << 30)
        subprocess.run(["sfdisk", "-q", str(disk)], input=_TABLE, text=True, check=True)
        efi = work / "efi"
        _run("mkfs.vfat", "-C", "-n", "UEFI", str(efi), str(_EFI[1] << 10))
        _run("mmd", "-i", str(efi), "::/EFI", "::/EFI/BOOT")
        loader = root / "usr/lib/shim/shimx64.efi.signed" if change else _grub(root, firmware)
        _run("mcopy", "-i", str(efi), str(loader), f"::/EFI/BOOT/{program}")
        if change:
            _add_signed_grub(root, efi)
        if architecture == "x86_64":
            _install_for_bios(disk, _grub(root, "i386-pc", "biosdisk"), root / "usr/lib/grub/i386-pc/boot.img")
        for name in ("core", "early.cfg"):
            (root / name).unlink(missing_ok=True)
        system = work / "ext4"
        with system.open("wb") as file:
            file.truncate(_ROOT[1] * MIB)
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", str(root), str(system))
        for part, (start, _) in ((efi, _EFI), (system, _ROOT)):
            _run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none")
        _run("qemu-img", "convert", "-q", "-O", "qcow2", str(disk), str(folder / "disk.qcow2"))

    return cached("testbed", key, make, log=print) / "disk.qcow2"


def _grub(root: Path, firmware: str, *modules: str) -> Path:
    """GRUB in one file, made by the root's own tools."""
    (root / "early.cfg").write_text(_EARLY)
    words = ["grub-mkimage", "-O", firmware, "-o", "/core", "-c", "/early.cfg", "-p", "/boot/grub", *_MODULES, *modules]
    in_root(root, words)
    return root / "core"


def _add_signed_grub(root: Path, efi: Path) -> None:
    """Debian's, which shim starts; it reads the configuration in this folder."""
    early = root / "early.cfg"
    early.write_text(f"{_EARLY}configfile ($root)/boot/grub/grub.cfg\n")
    _run("mmd", "-i", str(efi), "::/EFI/debian")
    signed = root / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    for source, target in ((signed, "EFI/BOOT/grubx64.efi"), (early, "EFI/debian/grub.cfg")):
        _run("mcopy", "-i", str(efi), str(source), f"::/{target}")


def _install_for_bios(disk: Path, core: Path, boot: Path) -> None:
    """What grub-bios-setup does, without a block device.

    Source: offsets of GRUB's include/grub/i386/pc/boot.h: GRUB_BOOT_MACHINE_KERNEL_SECTOR (0x5c), and the block list at
    the end of the first sector of the core image.
    """
    at = _BIOS[0] * MIB // _SECTOR
    image = bytearray(core.read_bytes())
    struct.pack_into("<Q", image, _SECTOR - 12, at + 1)
    code = bytearray(boot.read_bytes())
    struct.pack_into("<Q", code, 0x5C, at)
    with disk.open("r+b") as file:
        # The code ends where the disk's signature and the partition table begin.
        file.write(code[:440])
        file.seek(at * _SECTOR)
        file.write(image)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
