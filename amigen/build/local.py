"""`amigen build --target local`: a qcow2 by Packer's qemu builder, booted and proven before it is kept."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from amigen.base.errors import BuildError, InputError
from amigen.base.locks import exclusive_lock
from amigen.build.base import make_base
from amigen.build.hook import Event
from amigen.build.proof import check_image
from amigen.build.record import ImageRecord
from amigen.build.run import BuildRequest, Built, Order, keep_record, run_build
from amigen.build.session import Session
from amigen.build.stop import Stop
from amigen.vm.acceleration import Acceleration, probe, qemu_program
from amigen.vm.bases import Base
from amigen.vm.image import INITRD_SUFFIX, KERNEL_SUFFIX, VmImage, image_info
from amigen.vm.qemu import MACHINES, boot_arguments, disk_drive, seed_drive
from amigen.vm.seed import make_seed
from amigen.vm.ssh import SshTarget, new_key


def build_here(order: Order) -> Built:
    """Build all images of an order on this machine, and keep the record of what stands now in `local.json`."""
    built = run_build(order, lambda session: build_local(session, order.request), Stop())
    keep_record(built, order.request.output / "local.json")
    return built


def build_local(session: Session, request: BuildRequest) -> ImageRecord:
    """Build one image into a folder of the output, which is replaced as a whole, and only at the end.

    Raises:
        AmigenError: Any failure; the folder is as it was.
    """
    plan, target = session.plan, request.output / f"{session.plan.platform}-{session.architecture}"
    session.begin("base")
    base = make_base(plan, session.architecture, request.spec_folder, log=session.say, fresh=request.fresh_base)
    acceleration = probe(session.architecture, base.image.kernel)
    session.say(f"base: {base.says}")
    session.say(acceleration.sentence)
    refuse_full_folder(base.image, target.parent)
    # Before the build: a file of the user's may be another one by its end.
    source_image = base.digest or f"sha256:{_sha256(base.image.disk)}"
    if base.url:
        pin = f"{plan.platform}: {{url: {base.url}, sha256: {source_image.removeprefix('sha256:')}}}"
        session.say(f"to build from this version again, set local.bases: {{{pin}}}")
    image = _run_packer(session, base, acceleration, request.variables)
    session.begin("boot the image")
    found = check_image(plan, image, base.user, keep=session.keep, log=session.say)
    session.judge(found, "a node that booted from the image")
    session.begin("keep")
    disk = _keep(image, target)
    session.begin("")
    return ImageRecord(
        platform=plan.platform,
        architecture=session.architecture,
        outcome="built",
        verified=True,
        source=base.says,
        source_image=source_image,
        file=str(disk),
        sha256=_sha256(disk),
        processor=acceleration.name,
        **session.findings(),
    )


def _run_packer(session: Session, base: Base, acceleration: Acceleration, packer_vars: dict[str, str]) -> VmImage:
    folder = session.write_files()
    new_key(session.work)
    output = session.work / "image"
    kernel_files: list[Path] = []

    def on_event(event: Event) -> None:
        if event.name == "proven" and base.image.kernel is not None:
            # The build may have installed another kernel; what boots the image must be what is in it.
            kernel_files.extend(_fetch_kernel(session.target(event), session.work))

    session.begin("boot the builder")
    session.run_packer(
        folder / "packer/local",
        only="qemu.image",
        variables={**_variables(session, base, acceleration, output), **packer_vars},
        on_event=on_event,
    )
    for file in kernel_files:
        # Only now: Packer wants to make the folder itself.
        file.rename(output / file.name)
    return VmImage.at(output / "disk.qcow2", session.architecture, uefi=base.image.uefi)


def _variables(session: Session, base: Base, acceleration: Acceleration, output: Path) -> dict[str, Any]:
    seed, id_ = session.work / "builder-seed.iso", f"i-build-{session.work.name}"
    # No user data: what the nodes will be given is theirs to run. No vendor data: it could change the image.
    make_seed(seed, key=session.key, instance_id=id_, hostname="localhost", user_data=b"#cloud-config\n{}\n")
    boot = boot_arguments(base.image, acceleration)
    pairs = [boot[i : i + 2] for i in range(0, len(boot), 2)]
    return {
        "base": str(base.image.disk),
        "disk_size": f"{disk_gib(base.image, session.plan.spec.local.disk_gib)}G",
        "ssh_username": base.user,
        "ssh_private_key_file": str(session.key),
        "qemu_binary": qemu_program(session.architecture),
        "machine_type": MACHINES[session.architecture][0],
        "accelerator": acceleration.name,
        "qemuargs": [
            # In place of Packer's own, which names the accelerator a second time and without its threads.
            ["-machine", MACHINES[session.architecture][0]],
            ["-accel", acceleration.accel],
            ["-cpu", acceleration.cpu],
            ["-serial", f"file:{session.console}"],
            ["-drive", disk_drive(output / "disk.qcow2")],
            ["-drive", seed_drive(seed)],
            *pairs,
        ],
        "output_directory": str(output),
    }


def _fetch_kernel(target: SshTarget, work: Path) -> list[Path]:
    files = []
    for link, suffix in (("vmlinuz", KERNEL_SUFFIX), ("initrd.img", INITRD_SUFFIX)):
        remote = f"/tmp/amigen{suffix}"  # noqa: S108 - in the guest, and gone in a moment
        install = f'[ -e "$f" ] && exec sudo -n install -m 0644 "$f" {remote}'
        done = target.run(f"for f in /{link} /boot/{link}; do {install}; done; exit 1")
        if done.returncode != 0:
            raise BuildError(f"the builder has no /boot/{link} to boot the image with: {done.stderr.strip()}")
        local = work / f"disk{suffix}"
        target.copy_from(remote, local)
        target.run(f"sudo -n rm -f {remote}")
        files.append(local)
    return files


def disk_gib(base: VmImage, wanted: int) -> int:
    """GiB of the disk: a disk can be made larger than its base, and not smaller."""
    size = image_info(base.disk)["virtual-size"]
    assert isinstance(size, int)
    return max(wanted, -(-size // (1 << 30)))


def refuse_full_folder(base: VmImage, folder: Path) -> None:
    """The image needs at least the space of its base, in addition to the image that it replaces.

    Raises:
        InputError: The file system of the folder has less.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = base.disk.stat().st_blocks * 512, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: the image needs at least {needed >> 20} MiB and {free >> 20} MiB are free",
            "free disk space, or name another folder with --output-folder",
        )


def _keep(image: VmImage, target: Path) -> Path:
    """Move the image into place as a folder; the previous one stays until the new one is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = (target.parent / f".{target.name}.{word}" for word in ("new", "old"))
    with exclusive_lock(target.parent):
        # Left by a killed build.
        _remove(new, old)
        try:
            new.mkdir()
            for file in (image.disk, image.kernel, image.initrd):
                if file is not None:
                    shutil.move(file, new / f"disk{file.suffix}")
            if target.exists():
                target.rename(old)
            new.rename(target)
        finally:
            _remove(new, old)
    return target / image.disk.name


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
