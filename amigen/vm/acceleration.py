"""Does hardware virtualisation really work here? On some machines `/dev/kvm` exists and fails."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from amigen.base.errors import ToolError
from amigen.base.paths import cache_home
from amigen.base.processes import find_program, last_line
from amigen.knowledge import Architecture
from amigen.vm.cache import cache_key
from amigen.vm.scratch import scratch

_PROBE_SECONDS = 20
_HANGS = f"/dev/kvm is there, and a guest hangs with it (tried for {_PROBE_SECONDS} s)"
# An estimate: emulating x86_64 on itself, a build of Debian 12 with its proof took 5 to 8 minutes on two processors.
_FOREIGN_COST = "a boot takes minutes, and a build with its proof 10 minutes to an hour"
_REMEMBERED_SECONDS = 24 * 3600
# What the probe's firmware says on its exit port; QEMU ends with (value << 1) | 1 (hw/misc/debugexit.c).
_ANSWER = 0x2A


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How a guest's processor is made, in the words of QEMU's options; and why, in words for the user."""

    name: Literal["kvm", "tcg"]
    cpu: str
    accel: str
    reason: str

    @property
    def sentence(self) -> str:
        """What `amigen` says of it."""
        words = "KVM" if self.name == "kvm" else "software emulation (slow)"
        return f"processor: {words}: {self.reason}"


def machine_architecture() -> Architecture:
    """The architecture of this machine, in the spec's words."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def runs_programs_of(architecture: Architecture) -> bool:
    """Whether the kernel hands programs of another architecture to QEMU (binfmt_misc, package qemu-user-static)."""
    name = "qemu-aarch64" if architecture == "arm64" else "qemu-x86_64"
    with contextlib.suppress(OSError):
        return Path(f"/proc/sys/fs/binfmt_misc/{name}").read_text().startswith("enabled")
    return False


def qemu_program(architecture: Architecture) -> str:
    """QEMU for guests of this architecture.

    Raises:
        ToolError: It is not installed.
    """
    if architecture == "arm64":
        return find_program("qemu-system-aarch64", package="qemu-system-arm", purpose="run a VM of arm64")
    return find_program("qemu-system-x86_64", package="qemu-system-x86", purpose="run a VM")


@cache
def probe(architecture: Architecture = "x86_64", kernel: Path | None = None) -> Acceleration:
    """KVM if a test guest runs with it, else software emulation.

    With KVM, a firmware of nine bytes must run and answer with the processor model that a VM will have; with
    `kernel`, that kernel must also boot up to its panic about the missing root device.
    """
    program = qemu_program(architecture)
    problem = _kvm_problem(architecture, program, kernel)
    if problem is None:
        return Acceleration(name="kvm", cpu="host", accel="kvm", reason="a test guest ran")
    # x86-64-v2, which newer distributions need; no AVX, which is slow to emulate; AMD's (as qemu64 is), which the
    # kernel does not give page-table isolation.
    cpu = "cortex-a72" if architecture == "arm64" else "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"
    return Acceleration(name="tcg", cpu=cpu, accel="tcg,thread=multi", reason=problem)


def _kvm_problem(architecture: Architecture, program: str, kernel: Path | None) -> str | None:
    device = Path("/dev/kvm")
    if architecture != machine_architecture():
        return f"{architecture} is emulated on {machine_architecture()}: {_FOREIGN_COST}"
    if not device.exists():
        return "this machine has no /dev/kvm"
    if not os.access(device, os.R_OK | os.W_OK):
        return "no right to open /dev/kvm (join the group kvm)"
    if architecture == "arm64":
        # No firmware of ours for arm64: that QEMU makes the machine at all is what can be asked.
        return _run([program, "-machine", "virt,gic-version=host", "-accel", "kvm", "-cpu", "host", "-S"], None)
    return _remembered_problem(program, kernel)


def _remembered_problem(program: str, kernel: Path | None) -> str | None:
    """As `boot_problem`; cache a hang, which takes 20 s to detect, for one day or until the next boot."""
    try:
        note = _note_of_a_hang(program)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return boot_problem(program, kernel)
    with contextlib.suppress(OSError):
        hung = note.stat().st_mtime
        if 0 <= time.time() - hung < _REMEMBERED_SECONDS:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(hung))
            return f"/dev/kvm is there, and a guest hung with it at {when}; to try again, remove {note}"
    problem = boot_problem(program, kernel)
    if problem == _HANGS:
        # Without the file, the test runs again next time.
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()
    return problem


def _note_of_a_hang(program: str) -> Path:
    """An empty file in the cache, by this boot of the machine and QEMU.

    Not by kernel: if one kernel hangs, so do boot loaders and other kernels, which the small firmware does not show.
    """
    status = Path(program).stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    inputs = [boot, program, status.st_size, status.st_mtime_ns]
    return cache_home() / "kvm-hangs" / cache_key("x86_64", inputs)


def boot_problem(program: str, kernel: Path | None) -> str | None:
    """What goes wrong when the firmware, and then the kernel, runs with KVM; None where it works."""
    with scratch("probe") as folder:
        firmware = folder / "answer.bin"
        firmware.write_bytes(_firmware())
        x86 = [program, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "128"]
        problem = _run(
            [*x86, "-device", "isa-debug-exit,iobase=0x501,iosize=1", "-bios", str(firmware)], (_ANSWER << 1) | 1
        )
    if problem is None and kernel is not None:
        problem = _run([*x86, "-no-reboot", "-kernel", str(kernel), "-append", "panic=-1"], 0)
    return problem


def _firmware() -> bytes:
    """At the reset vector: mov dx,0x501; mov al,ANSWER; out dx,al; hlt; jmp to the hlt."""
    code = bytes.fromhex("ba0105b0") + bytes([_ANSWER]) + bytes.fromhex("eef4ebfd")
    rom = bytearray(65536)
    rom[0xFFF0 : 0xFFF0 + len(code)] = code
    return bytes(rom)


def _run(command: list[str], expected: int | None) -> str | None:
    """The problem, or None. `expected` None: QEMU must only come as far as its monitor, and is told to quit."""
    monitor = ["-monitor", "stdio"] if expected is None else []
    try:
        done = subprocess.run(
            [*command, "-nodefaults", "-display", "none", *monitor],
            input="quit\n" if expected is None else None,
            stdin=None if expected is None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _HANGS
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}", "reinstall qemu-system-x86") from None
    if done.returncode == (expected or 0):
        return None
    return f"/dev/kvm is there and fails ({last_line(done.stderr) or f'QEMU ended with {done.returncode}'})"
