"""QEMU: its command line, as data, and its start."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.processes import tied
from amigen.knowledge import Architecture
from amigen.vm.acceleration import Acceleration, qemu_program
from amigen.vm.image import VmImage

# Machine type and serial console of the guest's kernel.
MACHINES: dict[Architecture, tuple[str, str]] = {"x86_64": ("q35", "ttyS0"), "arm64": ("virt", "ttyAMA0")}
# Where Debian and Ubuntu put the UEFI firmware that boots a disk, and its package.
FIRMWARE: dict[Architecture, tuple[str, str]] = {
    "x86_64": ("/usr/share/ovmf/OVMF.fd", "ovmf"),
    "arm64": ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64"),
}


def needs_uefi(image: VmImage) -> bool:
    """Whether UEFI firmware starts its boot loader."""
    return image.kernel is None and (image.uefi or image.architecture == "arm64")


def boot_arguments(image: VmImage, acceleration: Acceleration) -> list[str]:
    """What QEMU must be told besides the disk, so that the image boots."""
    if image.kernel is None:
        return ["-bios", FIRMWARE[image.architecture][0]] if needs_uefi(image) else []
    append = f"root=/dev/vda rw {kernel_options(image.architecture, acceleration)}"
    found = ["-kernel", str(image.kernel), "-append", append]
    if image.initrd is not None:
        found += ["-initrd", str(image.initrd)]
    return found


def kernel_options(architecture: Architecture, acceleration: Acceleration) -> str:
    """The kernel's command line where amigen starts the kernel, and no boot loader of the image."""
    # Nobody shares an emulated processor's caches, and the defences cost much time there. Its timer is late where the
    # machine is busy, which x86's check takes for a broken one: a panic at boot, "IO-APIC + timer doesn't work!".
    emulated = " mitigations=off no_timer_check" if acceleration.name == "tcg" else ""
    return f"console={MACHINES[architecture][1]} panic=-1{emulated}"


def qemu_command(
    image: VmImage, work: Path, *, memory_mib: int, acceleration: Acceleration, ssh_port: int
) -> list[str]:
    """The whole command; the files of the guest are in `work` (see `Machine`)."""
    # Emulated processors wait for each other: with two, two VMs at once take half as long again, and a kernel stalled.
    processors = "1" if acceleration.name == "tcg" else "2"
    return [
        *bare_command(image.architecture, acceleration, _machine(image)),
        *("-smp", processors, "-m", str(memory_mib)),
        *("-drive", disk_drive(work / "disk.qcow2")),
        *("-drive", seed_drive(work / "seed.iso")),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{ssh_port}-:22", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "virtio-rng-pci"),
        # append=on: the console of the boots before a restart stays in the log.
        *("-chardev", f"file,id=console,path={escaped(work / 'console.log')},append=on", "-serial", "chardev:console"),
        *boot_arguments(image, acceleration),
    ]


def bare_command(architecture: Architecture, acceleration: Acceleration, machine: str) -> list[str]:
    """QEMU with a machine that has nothing but a processor."""
    return [
        qemu_program(architecture),
        *("-name", "amigen", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", machine, "-accel", acceleration.accel, "-cpu", acceleration.cpu),
    ]


def start_qemu(command: Sequence[str], work: Path) -> subprocess.Popen[bytes]:
    """Start it; it is killed when the thread that called this ends (see `Machine`)."""
    with (work / "qemu.err").open("wb") as errors:
        return subprocess.Popen(
            tied(command), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True
        )


def not_started(work: Path) -> ToolError:
    """Why it ended at once."""
    return ToolError(f"QEMU did not start: {(work / 'qemu.err').read_text(errors='replace').strip()}")


def _machine(image: VmImage) -> str:
    """A boot loader's and the BIOS's own words go to the serial console, too: they say why a disk does not boot."""
    machine = MACHINES[image.architecture][0]
    return f"{machine},graphics=off" if machine == "q35" and image.kernel is None else machine


def disk_drive(path: Path) -> str:
    """The guest's disk, as `-drive` takes it."""
    # werror: by default QEMU halts a guest whose host has no room left, for ever; with an error, the guest's own
    # programs fail and say so.
    return f"file={escaped(path)},format=qcow2,if=virtio,cache=unsafe,discard=unmap,werror=report"


def seed_drive(path: Path) -> str:
    """The NoCloud seed, as `-drive` takes it."""
    # A disk: kernels made for clouds have no driver for a CD.
    return f"file={escaped(path)},format=raw,if=virtio,readonly=on"


def escaped(path: Path) -> str:
    """QEMU's option syntax: a comma is doubled."""
    return str(path).replace(",", ",,")
