"""The appliance reads what an image holds: file systems, partitions and what its /etc/fstab mounts elsewhere.

The roots here are busybox with a few files. Package managers and systemd in a root are in tests/verify/test_breaks.py.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from amigen.base.errors import CouldNotCheckError
from amigen.vm import VmImage, scratch
from amigen.vm.appliance import Appliance, appliance_files

pytestmark = pytest.mark.slow
MIB = 1 << 20


def busybox() -> bytes:
    """The appliance's own, out of its initrd."""
    _kernel, initrd = appliance_files("x86_64", log=print)
    content, at = initrd.read_bytes(), 0
    while True:
        size, length = (int(content[at + place : at + place + 8], 16) for place in (54, 94))
        name = content[at + 110 : at + 110 + length - 1]
        start = at + 110 + length + -(110 + length) % 4
        if name == b"bin/busybox":
            return content[start : start + size]
        at = start + size + -size % 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("appliance") / "root"
    for name in ("bin", "etc", "proc", "dev", "run", "boot/efi", "srv"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/sh").write_bytes(busybox())
    (folder / "bin/sh").chmod(0o755)
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (folder / "etc/fstab").write_text(
        "# a comment\nLABEL=boot /boot ext4 ro 0 0\n/dev/vda9 /srv ext4 ro 0 0\nnone none swap\n"
    )
    return folder


def file_system(kind: str, root: Path, label: str, mib: int) -> Path:
    file = root.parent / f"{label}.{kind}"
    file.unlink(missing_ok=True)
    with file.open("wb") as stream:
        stream.truncate(mib * MIB)
    if kind == "xfs":
        # A prototype file: a folder's files, each with its mode and owner (mkfs.xfs(8)).
        lines = ["/", "0 0", "d--755 0 0", "bin d--755 0 0", f"sh ---755 0 0 {root}/bin/sh", "$"]
        lines += ["etc d--755 0 0", f"passwd ---644 0 0 {root}/etc/passwd", "$"]
        lines += [line for name in ("proc", "dev", "run") for line in (f"{name} d--755 0 0", "$")]
        (root.parent / "prototype").write_text("\n".join([*lines, "$"]) + "\n")
        run("mkfs.xfs", "-q", "-p", str(root.parent / "prototype"), "-L", label, str(file))
    else:
        run("mke2fs", "-q", "-t", kind, "-L", label, "-d", str(root), str(file))
    return file


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def look(disk: Path, use: Callable[[Appliance], None]) -> None:
    """Use the appliance; the image is the same before and after."""
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    with scratch("test") as work, Appliance(VmImage.at(disk), work=work, log=print) as appliance:
        use(appliance)
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before


def test_a_file_system_without_partitions(root: Path) -> None:
    """Bytes, exit codes and sizes come through; what a command writes is seen by the next one and by nobody else."""

    def use(appliance: Appliance) -> None:
        assert appliance.run("cd /; pwd; read line; exit 7").returncode == 7
        done = appliance.run("printf 'a\\0\\377b'; echo no >&2; echo x >/etc/passwd")
        assert (done.stdout, done.stderr) == (b"a\0\xffb", b"no\n")
        assert appliance.run("sh -c 'read line </etc/passwd; echo $line'").stdout == b"x\n"
        big = appliance.run("i=0; while [ $i -lt 2000 ]; do printf '%0100d' 0; i=$((i+1)); done")
        assert len(big.stdout) == 200_000
        assert appliance.run(f": {'x' * 120_000}; echo long").stdout == b"long\n"

    look(file_system("ext4", root, "root", 16), use)


@pytest.mark.skipif(not shutil.which("mkfs.xfs"), reason="needs xfsprogs")
def test_xfs(root: Path) -> None:
    look(file_system("xfs", root, "root", 320), lambda appliance: has(appliance, "/etc/passwd"))


def has(appliance: Appliance, path: str) -> None:
    done = appliance.run(f"[ -f {path} ]")
    assert done.returncode == 0, path


def test_partitions(root: Path, tmp_path: Path) -> None:
    """GPT with an EFI partition, which systemd mounts by itself, and /boot by its label in /etc/fstab."""
    seed = tmp_path / "random-seed"
    seed.write_bytes(b"x" * 32)
    efi = tmp_path / "efi"
    run("mkfs.vfat", "-C", str(efi), "4096")
    run("mmd", "-i", str(efi), "::/loader")
    run("mcopy", "-i", str(efi), str(seed), "::/loader/random-seed")
    boot = tmp_path / "boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "efi").mkdir()
    (boot / "grub/grub.cfg").write_text("x")
    parts = ((1, efi), (6, file_system("ext4", boot, "boot", 4)), (12, file_system("ext4", root, "root", 16)))
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as stream:
        stream.truncate(32 * MIB)
        for place, part in parts:
            stream.seek(place * MIB)
            stream.write(part.read_bytes())
    table = "label: gpt\nstart=1MiB,size=4MiB,type=uefi\nstart=6MiB,size=4MiB\nstart=12MiB,size=16MiB\n"
    subprocess.run(["sfdisk", "-q", str(disk)], input=table, text=True, check=True)

    def use(appliance: Appliance) -> None:
        has(appliance, "/boot/grub/grub.cfg")
        has(appliance, "/boot/efi/loader/random-seed")
        assert appliance.run("echo x >/boot/grub/grub.cfg").returncode != 0

    look(disk, use)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"LVM2 001", "its root is on LVM"), (b"\0", "no partition of it has a file system with /etc/passwd")],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as stream:
        stream.truncate(8 * MIB)
        stream.seek(MIB)
        stream.write(content)
    with pytest.raises(CouldNotCheckError, match=message):
        look(disk, lambda _appliance: None)
