"""`amigen build` as a newcomer types it, as far as nothing is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from amigen.cli import main
from tests.build.stand_in_packer import stand_in_packer

SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: demo
kubernetesVersion: "1.34"
platforms: [al2023, debian-12]
aws: {copyRegions: [eu-west-1]}
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


def test_a_dry_run_says_what_would_be_and_does_nothing(
    spec: str, packer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, spec, "--target", "aws", "--dry-run", "--packer", packer)
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


def test_a_platform_that_the_spec_does_not_have(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, spec, "--target", "local", "--platform", "ubuntu-24.04", "--packer", packer)
    assert code == 14
    assert "the spec has no platform ubuntu-24.04" in err
    assert "al2023, debian-12" in err


def test_a_variable_without_a_value(spec: str, packer: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, spec, "--target", "local", "--packer-var", "build", "--packer", packer)
    assert (code, "--packer-var build: no value" in err) == (14, True)


def test_all_images_fail_each_for_its_own_reason(
    spec: str, packer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No base for AL2023 is named; the Debian base is made by nobody here. Both are said, and a record is left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("amigen.vm.bases.machine_architecture", lambda: "arm64")
    code, out, err = run(capsys, spec, "--target", "local", "--packer", packer)
    assert code == 9
    assert "2 images failed" in err
    assert "no built-in base for Amazon Linux 2023" in err
    assert "is made for arm64 here" in err
    assert out.count("nothing was kept") == 2
    assert len(list((tmp_path / "amigen-build/demo/builds").glob("*/record.json"))) == 1
    assert not (tmp_path / "amigen-build/demo/local.json").exists()
