"""The programs that a VM needs on this machine: all that are missing are named at once, before anything begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.processes import find_program
from amigen.knowledge import Architecture
from amigen.vm.acceleration import qemu_program
from amigen.vm.qemu import FIRMWARE

_SSH = "openssh-client"
# (programs of which any one does, package, purpose)
Row = tuple[tuple[str, ...], str, str]
SSH: tuple[Row, ...] = (
    (("ssh",), _SSH, "reach the machine"),
    (("ssh-keygen",), _SSH, "make a temporary key"),
)
VM: tuple[Row, ...] = (
    (("scp",), _SSH, "copy files"),
    (("qemu-img",), "qemu-utils", "make disk images"),
    (("genisoimage", "mkisofs", "xorrisofs"), "genisoimage", "make the seed disk"),
)


def missing_programs(rows: Sequence[Row]) -> Iterator[ToolError]:
    """An error for each row of which no program is installed."""
    for names, package, purpose in rows:
        try:
            find_program(*names, package=package, purpose=purpose)
        except ToolError as error:
            yield error


def missing_for_a_vm(architecture: Architecture) -> Iterator[ToolError]:
    """An error for each program that a VM of this architecture needs and that is not installed."""
    yield from missing_programs((*SSH, *VM))
    try:
        qemu_program(architecture)
    except ToolError as error:
        yield error


def missing_firmware(architecture: Architecture) -> Iterator[ToolError]:
    """An error where the firmware that starts a boot loader by UEFI is not installed."""
    path, package = FIRMWARE[architecture]
    if not Path(path).is_file():
        yield ToolError(f"{path} is not there: needed to boot a disk by UEFI", f"install the package {package}")


def require_all(missing: Sequence[ToolError]) -> None:
    """Begin only when nothing is missing.

    Raises:
        ToolError: Names all that is.
    """
    if len(missing) == 1:
        raise missing[0]
    if missing:
        lines = "".join(f"\n  {error.message}: {error.hint}" for error in missing)
        raise ToolError(f"{len(missing)} requirements are missing; nothing was started:{lines}")
