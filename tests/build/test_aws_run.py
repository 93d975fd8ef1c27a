"""After the proof: whatever comes between, the AMI that is there is said, and the record knows what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import ConflictError
from amigen.build import aws_run
from amigen.build.leftovers import Account
from amigen.build.record import ImageRecord, read_record
from amigen.build.run import Built
from tests.build.test_run import order


@pytest.fixture
def nothing_of_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The image is made at once; what comes after it is the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(aws_run, "ec2_endpoint", lambda *_, **__: None)
    monkeypatch.setattr(aws_run, "find_account", lambda *_, **__: Account(id="111111111111"))

    def image(session: Any, _build: Any) -> ImageRecord:
        ami: dict[str, Any] = {"region": "us-east-1", "image_id": "ami-1", "amis": {"us-east-1": "ami-1"}}
        return ImageRecord(platform="debian-12", architecture="x86_64", outcome="built", verified=True, **ami)

    monkeypatch.setattr(aws_run, "build_aws", image)


def build(folder: Path) -> Built:
    given = order(folder)
    return aws_run.build_on_aws(dataclasses.replace(given, request=dataclasses.replace(given.request, target="aws")))


@pytest.mark.usefixtures("nothing_of_aws")
@pytest.mark.parametrize(
    ("happens", "interrupted", "why"),
    [
        (KeyboardInterrupt(), True, "interrupted"),
        (ConflictError("another publish is at work here"), False, "another publish is at work here"),
    ],
)
def test_the_image_stays_and_the_regions_are_to_be_done(
    happens: BaseException, interrupted: bool, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread(*_given: Any) -> Any:
        raise happens

    monkeypatch.setattr(aws_run, "spread", spread)
    built = build(tmp_path)
    assert (built.interrupted, bool(built.errors)) == (interrupted, not interrupted)
    for path in (built.path, tmp_path / "out/record.json"):
        [image] = read_record(path).images
        assert (image.outcome, image.verified, image.amis) == ("built", True, {"us-east-1": "ami-1"})
        assert image.region_errors == {"us-east-1": why}
