"""Which Packer is there, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from amigen.base.errors import ToolError
from amigen.build.packer_tool import Packer, build_command, find_packer, parse_line
from tests.build.stand_in_packer import stand_in_packer


@pytest.mark.parametrize(("version", "modern"), [("1.6.6", False), ("1.7.0", True), ("1.15.0", True)])
def test_the_version_decides_how_it_is_called(tmp_path: Path, version: str, modern: bool) -> None:
    packer = find_packer(str(stand_in_packer(tmp_path, version=version)), target="local")
    assert (packer.text, packer.modern) == (version, modern)


def test_none_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="Packer is not installed") as caught:
        find_packer(target="local")
    assert "apt-get install packer" in caught.value.hint


def test_another_program_of_that_name_is_refused(tmp_path: Path) -> None:
    """cracklib has a `packer`, too."""
    with pytest.raises(ToolError, match="not HashiCorp's Packer"):
        find_packer(str(stand_in_packer(tmp_path, says="skipping line: 1")), target="local")


@pytest.mark.parametrize(("target", "version", "needed"), [("local", "1.5.1", "1.6.6"), ("aws", "1.6.6", "1.7.0")])
def test_a_packer_that_is_too_old_is_refused(
    tmp_path: Path, target: Literal["local", "aws"], version: str, needed: str
) -> None:
    """Packer 1.6 cannot require IMDSv2 of the builder and the AMI; Debian's is enough for a local image."""
    with pytest.raises(ToolError, match=f"is Packer {version}; --target {target} needs {needed} or later"):
        find_packer(str(stand_in_packer(tmp_path, version=version)), target=target)


def test_a_line_of_machine_readable_output() -> None:
    line = "1795438634,amazon-ebs.x86_64,ui,say,a%!(PACKER_COMMA) b\\nc\n"
    assert parse_line(line) == ("ui", ["say", "a, b\nc"])


@pytest.mark.parametrize("line", ["", "no csv", "x,y,z", "12"])
def test_what_is_no_such_line(line: str) -> None:
    assert parse_line(line) == ("", [])


def test_packer_16_is_given_the_one_file_and_later_ones_the_folder() -> None:
    def last(version: tuple[int, int, int]) -> str:
        packer = Packer(path="packer", version=version)
        return build_command(packer, variables=Path("/v"), only="qemu.image")[-1]

    assert (last((1, 6, 6)), last((1, 7, 0))) == ("image.pkr.hcl", ".")
