"""Reports show what changed in a file, and what machine it is; files that not everybody may read stay unseen."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from amigen.checks import checks_of
from amigen.connections import parse_target
from amigen.facts import Facts
from amigen.facts.surroundings import Surroundings
from amigen.plan.make import plan_images, write_file
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.verify.junit import junit
from amigen.verify.page import page
from amigen.verify.report import Report, Result
from amigen.verify.run import machine_of, make_report, verify_many
from amigen.verify.table import print_reports
from tests.specs import spec

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="asks this machine as root")


def plan_of(file: Path, mode: str) -> ImagePlan:
    made = plan_images(spec({"platforms": ["debian-12"]}))[0]
    step = write_file(str(file), b"one\ntwo\nsecret=1\n", "write it", mode=mode)
    checks = checks_of(step, made.spec, PLATFORMS["debian-12"])
    return structs.replace(made, steps=(structs.replace(step, checks=checks),), always=())


def look(tmp_path: Path, *, wanted: str, there: int) -> tuple[Report, Result]:
    file = tmp_path / "settings"
    file.write_text("one\n2 <b>\nsecret=hunter2\n")
    file.chmod(there)
    [report] = verify_many(plan_of(file, wanted), ["local"])
    return report, next(result for result in report.results if result.id == f"test_file[{file}]")


@as_root
def test_a_changed_file_is_shown_as_a_diff(tmp_path: Path) -> None:
    report, result = look(tmp_path, wanted="0644", there=0o644)
    assert result.diff.splitlines()[2:] == ["@@ -1,3 +1,3 @@", " one", "-two", "-secret=1", "+2 <b>", "+secret=hunter2"]
    assert result.found == "other content"
    assert "sha256" not in result.expected + report.causes[0].text
    text = StringIO()
    print_reports([report], Console(file=text, width=1000), every=True)
    for document in (page([report]).decode(), junit([report]).decode()):
        assert "+2 &lt;b&gt;" in document
    assert "+2 <b>" in text.getvalue()
    for document in (page([report]).decode(), text.getvalue()):
        assert report.machine in document
    assert f"kernel {os.uname().release}" in report.machine


@as_root
@pytest.mark.parametrize(("wanted", "there"), [("0600", 0o644), ("0644", 0o600), ("0640", 0o640)])
def test_what_not_everybody_may_read_is_not_shown(tmp_path: Path, wanted: str, there: int) -> None:
    report, result = look(tmp_path, wanted=wanted, there=there)
    assert (result.outcome, result.diff) == ("failed", "")
    console = Console(file=StringIO(), width=1000)
    print_reports([report], console, every=True)
    assert isinstance(console.file, StringIO)
    for document in (page([report]).decode(), junit([report]).decode(), console.file.getvalue()):
        assert "hunter2" not in document


def test_what_a_machine_is() -> None:
    texts = {
        "/etc/os-release": 'NAME=x\nPRETTY_NAME="Amazon Linux 2023"\n',
        "/etc/amigen/release.json": '{"name": "web", "digest": "0123456789abcdef"}',
    }
    own, borrowed = Surroundings(systemd=True), Surroundings(container="podman")
    said = machine_of(Facts(kernel="6.1", texts=texts, surroundings=own))
    assert said == "Amazon Linux 2023, kernel 6.1, image web 0123456789ab"
    assert machine_of(Facts(kernel="6.1", surroundings=borrowed)) == "kernel 6.1 of its host"
    assert machine_of(Facts(texts={"/etc/amigen/release.json": "[]"})) == ""


def test_a_report_without_a_machine() -> None:
    made = make_report(plan_of(Path("/x"), "0644"), parse_target("local"), datetime.now(UTC), 0.0, [])
    assert "Machine" not in page([made]).decode()
