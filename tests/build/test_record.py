"""The build record: its schema, and that it is written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import msgspec
import pytest

from amigen.base.errors import InputError
from amigen.build.record import (
    BuildRecord,
    CheckRecord,
    ImageRecord,
    Kernel,
    PackageChanges,
    package_diff,
    read_record,
    record_schema,
    write_record,
)
from amigen.cli import main

RECORD = BuildRecord(
    build="20261123-121500-3f9a1c",
    target="aws",
    name="web",
    spec_digest="0" * 64,
    kubernetes_version="1.34",
    amigen_version="0.1.0",
    packer_version="1.6.6",
    started_at="2026-11-23T12:15:00Z",
    finished_at="2026-11-23T12:25:00Z",
    images=(
        ImageRecord(
            platform="al2023",
            architecture="arm64",
            outcome="built",
            verified=True,
            source_image="ami-12345678",
            region="us-east-1",
            image_id="ami-87654321",
            amis={"us-east-1": "ami-87654321"},
            packages=PackageChanges(added={"ipvsadm": "1.31"}, changed={"libc6": ("1", "2")}),
            kernel=Kernel(running="6.1", installed=("6.1",), modules={"ip_vs": "loaded"}),
            checks=(CheckRecord(id="test_package[ipvsadm]", when="builder", outcome="passed", seconds=0.1),),
            phases={"bootstrap": 12.5},
        ),
    ),
)


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path / "new" / "record.json")
    assert read_record(tmp_path / "new" / "record.json") == RECORD


def test_what_is_written_is_what_the_schema_says(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path / "record.json")
    document = json.loads((tmp_path / "record.json").read_text())
    jsonschema.validate(document, record_schema())
    document["images"][0]["outcome"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, record_schema())


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema", "build-record"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(record_schema()))


def test_publish_finds_its_images_in_it(tmp_path: Path) -> None:
    """The one other reader of the record."""
    from amigen.publish.record import read_images
    from tests.build.test_packer_files import image

    write_record(RECORD, tmp_path / "record.json")
    [found] = read_images(tmp_path / "record.json", image(name="web"))
    assert (found.image, found.region, found.source) == ("ami-87654321", "us-east-1", "ami-12345678")


def test_a_cut_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_record(RECORD, path)

    def no_more(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_more)
    with pytest.raises(OSError, match="No space"):
        write_record(msgspec.structs.replace(RECORD, name="other"), path)
    assert read_record(path) == RECORD
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "amigen/build/v9"}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(InputError, match="not a build record"):
        read_record(tmp_path / "r")


def test_package_diff() -> None:
    diff = package_diff({"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"})
    assert (diff.added, diff.changed, diff.removed) == ({"d": "1"}, {"b": ("1", "2")}, {"c": "1"})
