"""`amigen build` as a newcomer types it, as far as nothing is built."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from amigen.build.record import ImageRecord, write_record
from amigen.cli import main
from amigen.plan.make import plan_images
from amigen.spec.load import load_spec
from amigen.vm.acceleration import Acceleration
from amigen.vm.apt_sources import AptSources
from tests.build.stand_in_packer import stand_in_packer
from tests.build.test_record import RECORD

# What a build calls besides Packer; here they are there and do nothing, so that a test is of no machine.
PROGRAMS = (
    *("ssh", "ssh-keygen", "scp", "qemu-img", "genisoimage", "qemu-system-x86_64", "qemu-system-aarch64"),
    *("mmdebstrap", "unshare", "mke2fs"),
)
QCOW2 = """#!/bin/sh
echo '{"format": "qcow2", "virtual-size": 1073741824}'
"""
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: demo
kubernetesVersion: "1.34"
platforms: [al2023, debian-12]
aws:
  copyRegions: [eu-west-1]
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(["build", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return "spec.yaml"


@pytest.fixture
def packer(tmp_path: Path) -> str:
    return str(stand_in_packer(tmp_path, "exit 1"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH; root, a Debian's apt and an empty cache come with it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text(QCOW2)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("amigen.base.processes.SYSTEM_PATH", "")
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setattr("amigen.vm.bases.machine_architecture", lambda: "x86_64")
    monkeypatch.setattr("amigen.vm.bases.runs_programs_of", lambda _architecture: False)
    monkeypatch.setattr("amigen.vm.bases.sources_of_machine", lambda *_: AptSources(lines=("deb http://x bookworm",)))
    fast = Acceleration(name="kvm", cpu="host", accel="kvm", reason="a test guest ran")
    monkeypatch.setattr("amigen.build.intent.probe", lambda *_: fast)
    return folder


@pytest.mark.usefixtures("programs")
def test_a_dry_run_says_what_would_be_and_does_nothing(
    spec: str, packer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, spec, "--target", "aws", "--dry-run", "--offline", "--packer", packer)
    assert code == 0
    assert "would build 2 images with Packer 1.11.2" in out
    assert "al2023/x86_64: an AMI in us-east-1, from the AMI that /aws/service/eks/optimized-ami/1.34/" in out
    assert "then copied to eu-west-1" in out
    assert "Packer 1.11.2" in err
    assert (tmp_path / "calls").read_text() == "version\n"
    assert not (tmp_path / "amigen-build").exists()


def test_without_packer_it_says_what_to_install(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run(capsys, spec, "--target", "local")
    assert code == 9
    assert "Packer is not installed" in err
    assert "apt-get install packer" in err


@pytest.mark.usefixtures("programs")
def test_a_dry_run_says_what_cannot_be_built_here(
    tmp_path: Path, spec: str, packer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is 'would build': a base that is not there, a root of another machine's kind."""
    bases = "{al2023: {path: not-there.qcow2}, debian-12: {mmdebstrap: true}}"
    more = f"architectures: [x86_64, arm64]\nlocal: {{bases: {bases}}}\n"
    (tmp_path / spec).write_text(SPEC + more)
    code, out, err = run(capsys, spec, "--target", "local", "--dry-run", "--packer", packer)
    assert "would build 1 image with" in out
    assert "al2023/x86_64: cannot be built here: " in out
    assert "not-there.qcow2: there is no such image file" in out
    assert "debian-12/arm64: cannot be built here: the built-in base is made for x86_64 here, not for arm64" in out
    assert (
        "debian-12/x86_64: amigen-build/demo/debian-12-x86_64/disk.qcow2, from a root of Debian 12 by mmdebstrap" in out
    )
    assert "processor: KVM: a test guest ran" in out
    assert (code, "no such image file" in err) == (14, True)
    assert not (tmp_path / "amigen-build").exists()


@pytest.mark.usefixtures("programs")
def test_a_dry_run_for_a_program(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, spec, "--target", "aws", "--dry-run", "--offline", "--packer", packer, "--output", "json"
    )
    said = json.loads(out)
    assert (code, said["target"], said["copyRegions"], said["lacks"]) == (0, "aws", ["eu-west-1"], [])
    assert [image["platform"] for image in said["images"]] == ["al2023", "debian-12"]


@pytest.mark.usefixtures("programs")
def test_a_dry_run_knows_what_is_built(
    tmp_path: Path, spec: str, packer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_images(load_spec(tmp_path / spec))[0]
    image = ImageRecord(
        platform="al2023", architecture="x86_64", outcome="built", verified=True, region="us-east-1", image_id="ami-1"
    )
    kept = msgspec.structs.replace(RECORD, spec_digest=plan.digest, images=(image,))
    write_record(kept, tmp_path / "amigen-build/demo/record.json")
    _, out, _ = run(capsys, spec, "--target", "aws", "--dry-run", "--offline", "--packer", packer, "--resume")
    assert "would build 1 image with" in out
    assert "al2023/x86_64: is built already, and stays" in out
    assert "debian-12/x86_64: an AMI in us-east-1" in out


@pytest.mark.parametrize(
    ("target", "option"),
    [
        ("local", ("--resume",)),
        ("local", ("--profile", "p")),
        ("local", ("--endpoint-url", "http://x")),
        ("local", ("--offline", "--dry-run")),
        ("aws", ("--fresh-base",)),
    ],
)
def test_an_option_of_the_other_target_is_refused(
    target: str, option: tuple[str, ...], spec: str, packer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, spec, "--target", target, "--packer", packer, *option)
    assert (code, f"{option[0]} has no effect with --target {target}" in err) == (14, True)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_all_that_lacks_is_said_at_once(
    more: tuple[str, ...],
    tmp_path: Path,
    spec: str,
    packer: str,
    programs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also what is only needed after the base was made, a minute later."""
    base = "architectures: [arm64]\nlocal: {bases: {al2023: {path: base.qcow2}}}\n"
    (tmp_path / spec).write_text(SPEC.replace(", debian-12", "") + base)
    (tmp_path / "base.qcow2").touch()
    monkeypatch.setattr("amigen.vm.needs.FIRMWARE", {"arm64": (str(tmp_path / "no-firmware"), "qemu-efi-aarch64")})
    for name in ("scp", "genisoimage"):
        (programs / name).unlink()
    code, _, err = run(capsys, spec, "--target", "local", "--packer", packer, *more)
    assert code == 9
    assert "3 requirements are missing; nothing was started:" in err
    assert "scp is not installed: needed to copy files: install the package openssh-client" in err
    assert "genisoimage or mkisofs or xorrisofs is not installed" in err
    assert "no-firmware is not there: needed to boot a disk by UEFI: install the package qemu-efi-aarch64" in err
    assert not (tmp_path / "amigen-build").exists()


def test_the_built_in_base_needs_its_own_tools(
    tmp_path: Path,
    spec: str,
    packer: str,
    programs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / spec).write_text(SPEC + "local: {bases: {debian-12: {mmdebstrap: true}}}\n")
    (programs / "mmdebstrap").unlink()
    monkeypatch.setattr("os.getuid", lambda: 1000)
    code, _, err = run(capsys, spec, "--target", "local", "--packer", packer, "--platform", "debian-12")
    assert code == 9
    assert "mmdebstrap is not installed" in err
    assert "can only be made by root" in err


@pytest.mark.parametrize("more", [(), ("--dry-run", "--offline")])
@pytest.mark.usefixtures("programs")
def test_session_manager_needs_its_plugin(
    more: tuple[str, ...], tmp_path: Path, spec: str, packer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packer would find out when its instance runs."""
    (tmp_path / spec).write_text(SPEC + "  communicator: session-manager\n  iamInstanceProfile: builder\n")
    code, _, err = run(capsys, spec, "--target", "aws", "--packer", packer, *more)
    assert code == 9
    assert "session-manager-plugin is not installed: needed to reach the builder over Session Manager" in err
    assert "https://docs.aws.amazon.com/systems-manager/" in err
    assert (tmp_path / "calls").read_text() == "version\n"


def test_offline_belongs_to_the_dry_run(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, spec, "--target", "aws", "--offline", "--packer", packer)
    assert (code, "--offline belongs to --dry-run" in err) == (2, True)


def test_a_platform_that_the_spec_does_not_have(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, spec, "--target", "local", "--platform", "ubuntu-24.04", "--packer", packer)
    assert code == 14
    assert "ubuntu-24.04 is not a platform of this spec" in err
    assert "al2023, debian-12" in err


def test_a_variable_without_a_value(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, spec, "--target", "local", "--packer-var", "build", "--packer", packer)
    assert (code, "--packer-var build: no value" in err) == (14, True)


@pytest.mark.usefixtures("programs")
def test_all_images_fail_each_for_its_own_reason(
    spec: str, packer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base of AL2023 is not there; the Debian base is made by nobody here. Both are said, and a record is left."""
    bases = "{al2023: {path: not-there.qcow2}, debian-12: {mmdebstrap: true}}"
    (tmp_path / spec).write_text(SPEC + f"local: {{bases: {bases}}}\n")
    monkeypatch.setattr("amigen.vm.bases.machine_architecture", lambda: "arm64")
    code, out, err = run(capsys, spec, "--target", "local", "--packer", packer)
    assert code == 8
    assert "2 failed:" in err
    assert "not-there.qcow2: there is no such image file" in err
    assert "is made for arm64 here" in err
    assert out.count("nothing was kept") == 2
    assert len(list((tmp_path / "amigen-build/demo/builds").glob("*/record.json"))) == 1
    assert not (tmp_path / "amigen-build/demo/local.json").exists()
