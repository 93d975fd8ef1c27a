"""The end of a build: the command that it prints next is one that works."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from amigen.build.describe import Asked, conclusion
from amigen.build.record import ImageRecord
from amigen.cli import main
from tests.build.test_record import RECORD
from tests.specs import spec

BOTH = {"platforms": ["al2023", "debian-12"]}
ARCHITECTURES = {"architectures": ["x86_64", "arm64"]}


def image(platform: str, architecture: str = "x86_64", **more: object) -> ImageRecord:
    given = {"outcome": "built", "verified": True, "file": f"out/{platform}-{architecture}/disk.qcow2", **more}
    return ImageRecord(platform=platform, architecture=architecture, **given)  # type: ignore[arg-type]


def next_of(target: str, asked: Asked, *images: ImageRecord) -> list[str]:
    record = msgspec.structs.replace(RECORD, target=target, images=images)
    lines = conclusion(record, Path("record.json"), asked).splitlines()
    return [line.removeprefix("next: ") for line in lines if line.startswith("next: ")]


def test_one_platform_needs_no_option() -> None:
    asked = Asked(spec=spec(), path="a spec.yaml")
    assert next_of("local", asked, image("al2023"))[0] == "amigen verify 'a spec.yaml' out/al2023-x86_64/disk.qcow2"
    assert next_of("aws", asked, image("al2023")) == ["amigen publish 'a spec.yaml', for launch templates"]


def test_of_several_each_image_is_named() -> None:
    asked = Asked(spec=spec(BOTH, ARCHITECTURES), path="spec.yaml")
    assert next_of("local", asked, image("al2023"), image("debian-12", "arm64"))[:2] == [
        "amigen verify spec.yaml --platform al2023 --architecture x86_64 out/al2023-x86_64/disk.qcow2",
        "amigen verify spec.yaml --platform debian-12 --architecture arm64 out/debian-12-arm64/disk.qcow2",
    ]


def test_a_part_of_the_spec_is_published_as_a_part() -> None:
    asked = Asked(spec=spec(BOTH), path="spec.yaml", platforms=("debian-12",), folder=Path("else where"))
    assert next_of("aws", asked, image("debian-12")) == [
        "amigen publish spec.yaml --platform debian-12 --record 'else where/web/record.json', for launch templates"
    ]


def test_what_is_missing_is_resumed_as_it_was_asked_for() -> None:
    asked = Asked(spec=spec(BOTH), path="spec.yaml", platforms=("debian-12",), folder=Path("o"))
    assert next_of("aws", asked, image("debian-12", region_errors={"eu-west-1": "throttled"})) == [
        "amigen build spec.yaml --target aws --platform debian-12 -o o --resume, for what is missing"
    ]


def test_verify_takes_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As far as the image, which is none here."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(
        "apiVersion: amigen/v1alpha1\nkind: NodeImage\nname: demo\nkubernetesVersion: '1.34'\n"
        "platforms: [al2023, debian-12]\n"
    )
    asked = Asked(spec=spec(BOTH), path="spec.yaml")
    words = next_of("local", asked, image("debian-12"))[0].split()
    with pytest.raises(SystemExit):
        main(words[1:])
    said = capsys.readouterr().err
    assert "several platforms" not in said
    assert "out/debian-12-x86_64/disk.qcow2" in said
