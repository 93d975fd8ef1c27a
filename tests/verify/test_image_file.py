"""Image files before they are booted: which architecture they are of, and what is none."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from amigen.base.errors import InputError, ToolError
from amigen.build.proof import check_record, require_passed
from amigen.build.record import BuildRecord, ImageRecord, architecture_of, write_record
from amigen.connections import parse_target
from amigen.verify.junit import junit
from amigen.verify.page import page
from amigen.verify.report import Result
from amigen.verify.run import Options, make_report
from amigen.verify.table import print_reports
from amigen.verify.vm import _look_into, _Proof
from amigen.vm import Machine, VmImage, scratch
from amigen.vm.image import require_bootable
from tests.specs import spec
from tests.verify.images import proof_plan
from tests.vm.test_vm_parts import EMULATION

BOTH = spec({"architectures": ["x86_64", "arm64"], "platforms": ["debian-12", "ubuntu-24.04"]})


def image(platform: str, architecture: str, file: str) -> ImageRecord:
    return ImageRecord(platform=platform, architecture=architecture, outcome="built", file=file)


def record(*images: ImageRecord) -> BuildRecord:
    texts: tuple[str, ...] = ("build", "name", "spec_digest", "kubernetes_version", "amigen_version", "packer_version")
    texts += ("started_at", "finished_at")
    return BuildRecord(target="local", images=images, **dict.fromkeys(texts, "x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "expected"),
    [("debian-12-arm64/disk.qcow2", "arm64"), ("ubuntu-24.04-x86_64/disk.qcow2", "x86_64")],
)
def test_the_place_says_the_architecture(place: str, expected: str, tmp_path: Path) -> None:
    assert architecture_of(BOTH, tmp_path / place) == expected


@pytest.mark.parametrize("beside", [".", ".."])
def test_the_record_beside_it_says_the_architecture(beside: str, tmp_path: Path) -> None:
    """Of several images that of its name; an image that was taken elsewhere with its record is the only one of it."""
    disk = tmp_path / "mine/disk.qcow2"
    disk.parent.mkdir()
    others = image("debian-12", "x86_64", "out/other/disk.qcow2"), image("debian-12", "arm64", "out/mine/disk.qcow2")
    write_record(record(*others), disk.parent / beside / "record.json")
    assert architecture_of(BOTH, disk) == "arm64"
    write_record(record(image("debian-12", "arm64", "/elsewhere/disk.qcow2")), disk.parent / beside / "record.json")
    assert architecture_of(BOTH, disk) == "arm64"


def test_what_is_wanted_or_the_only_one(tmp_path: Path) -> None:
    disk = tmp_path / "debian-12-x86_64/disk.qcow2"
    assert architecture_of(BOTH, disk, "arm64") == "arm64"
    assert architecture_of(spec({"architectures": ["arm64"]}), disk) == "arm64"
    with pytest.raises(InputError, match=r"--architecture x86_64\|arm64"):
        architecture_of(BOTH, tmp_path / "disk.qcow2")


def test_a_disk_that_was_not_read_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Fedora, which has no appliance; in each report before what passed."""
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "fedora"})
    plan, file = proof_plan(tmp_path), raw(tmp_path / "disk.raw", MBR)
    image = VmImage(disk=file, format="raw")
    proof = _Proof(plan=plan, options=Options(), image=image, work=tmp_path)
    unread = _look_into(proof)
    booted = Result(id="test_package[ipvsadm]", phase="first boot", outcome="passed")
    target = parse_target(str(file))
    report = make_report(plan, target, datetime.now(UTC), 1.0, [*unread.results, booted])
    assert (report.verdict, unread.phases) == ("proven", [])
    assert "1 not provable here" in report.summary
    out = io.StringIO()
    print_reports([report], Console(file=out, width=250))
    assert "not provable  test_image read-before-boot: the disk was not read before the boot" in out.getvalue()[:200]
    html = page([report]).decode()
    assert html.index("the disk was not read") < html.index(booted.id)
    assert b"the disk was not read" in junit([report])
    records = tuple(check_record(result, "image") for result in report.results)
    assert {record.outcome for record in records} == {"passed", "not provable"}
    require_passed(records, "the image")


def raw(path: Path, *marks: tuple[int, bytes]) -> Path:
    with path.open("wb") as stream:
        stream.truncate(1 << 20)
        for place, mark in marks:
            stream.seek(place)
            stream.write(mark)
    return path


MBR, EXT = (510, b"\x55\xaa"), (1080, b"\x53\xef")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_what_could_be_booted(form: str, tmp_path: Path) -> None:
    """A partition table or a file system, as the guest sees it; without, only with a kernel beside it."""

    def disk(name: str, *marks: tuple[int, bytes]) -> VmImage:
        file = raw(tmp_path / f"{name}.raw", *marks)
        if form == "qcow2":
            made = file.with_suffix(".qcow2")
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(file), str(made)], check=True)
            file = made
        return VmImage.at(file)

    for mark in (MBR, EXT):
        require_bootable(disk("good", mark))
    with pytest.raises(InputError, match="not bootable: no partition table and no file system"):
        require_bootable(disk("blank"))
    (tmp_path / "blank.vmlinuz").write_bytes(b"kernel")
    require_bootable(disk("blank"))


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"apiVersion: amigen/v1alpha1\n" * 300, b"short"])
def test_a_file_that_is_no_disk(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match="empty" if not content else "not bootable: no partition table"):
        require_bootable(VmImage.at(file))


@pytest.mark.slow
def test_an_incomplete_image_is_named(tmp_path: Path) -> None:
    """As after a broken download, and without its backing file; QEMU would read zeros, for a guest that hangs."""
    whole, cut = tmp_path / "disk.qcow2", tmp_path / "cut.qcow2"
    convert = ["qemu-img", "convert", "-O", "qcow2", str(raw(tmp_path / "disk.raw", MBR, (500_000, b"x"))), str(whole)]
    subprocess.run(convert, check=True)
    require_bootable(VmImage.at(whole))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size - 100_000])
    with pytest.raises(InputError, match="the image is incomplete or damaged: ERROR"):
        require_bootable(VmImage.at(cut))
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", whole, overlay], check=True)
    whole.unlink()
    with pytest.raises(InputError, match=r"incomplete or damaged: .* backing file"):
        require_bootable(VmImage.at(overlay))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "tar", "zip"])
def test_a_packed_image_is_named(kind: str, tmp_path: Path) -> None:
    """As images are downloaded; each is made by the real packer."""
    disk = raw(tmp_path / "disk.raw", MBR)
    file = tmp_path / f"disk.{kind}"
    if kind in ("tar", "zip"):
        shutil.make_archive(str(tmp_path / "disk"), kind, tmp_path, disk.name)
    else:
        file.write_bytes({"gz": gzip, "xz": lzma, "bz2": bz2}[kind].compress(disk.read_bytes()))
    with pytest.raises(InputError, match=r"this is an? .*, not a disk image\n  hint: unpack it first"):
        require_bootable(VmImage.at(file))


@pytest.mark.slow
def test_a_disk_without_a_boot_loader_is_not_waited_for(tmp_path: Path) -> None:
    """It looks like one that boots; its first sector only hands back to the BIOS, which has nothing else."""
    file = raw(tmp_path / "disk.raw", MBR, (0, b"\xcd\x18"))
    # Where KVM runs the probe's firmware and no more, the BIOS itself would hang.
    with (
        scratch("test") as work,
        Machine(VmImage.at(file), work=work, user="root", memory_mib=256, acceleration=EMULATION) as machine,
        pytest.raises(ToolError, match="is not bootable") as caught,
    ):
        machine.wait_for_ssh()
    assert "No bootable device" in str(caught.value)
