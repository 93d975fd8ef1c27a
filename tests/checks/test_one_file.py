"""A new kind of check is one module: nothing else of amigen has to know of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.command import run
from tests.specs import ROOT

TIMEZONE = '''
"""The time zone."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import Check, Level, Step, WriteRelease
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class TimeZoneCheck(Check, frozen=True, kw_only=True):
    test = "test_time_zone"
    place = 95
    level = Level.FILES
    zone: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(zone="UTC"),) if isinstance(step, WriteRelease) else ()

    @property
    def wanted(self) -> Wanted:
        return Wanted(texts=("/etc/amigen/zone",))

    suite = """
ZONES = {table}


@pytest.mark.parametrize("zone", ZONES)
def test_time_zone(node, zone):
    found = node.texts.get("/etc/amigen/zone", "").strip()
    todo = f"timedatectl set-timezone {zone}"
    assert found == zone, explain(expected=f"the time zone {zone}", found=found, todo=todo)
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "zone_is", self.zone

    shell = (
        r"""
zone_is() {
	[ "$(cat /etc/amigen/zone)" = "$1" ] || echo "the time zone is not $1"
}
""",
    )
'''
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: zones
kubernetesVersion: "1.34"
platforms: [debian-12]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of amigen with one module more."""
    for name in ("amigen", "templates", "packer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "amigen/checks/time_zone.py").write_text(TIMEZONE)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def test_one_module_is_a_check_everywhere(checkout: Path) -> None:
    """In the plan, the suite and its facts, the exported document, and, red, in a report with its cause."""

    def amigen(*arguments: str, code: int = 0) -> str:
        return run(*arguments, cwd=checkout, code=code, fresh=True, PYTHONPATH=str(checkout)).stdout.decode()

    plan = json.loads(amigen("plan", "spec.yaml", "--output", "json"))["plans"][0]
    assert "test_time_zone[UTC]" in next(step for step in plan["steps"] if step["kind"] == "release")["checks"]
    amigen("render", "spec.yaml", "-o", "out")
    suite = (checkout / "out/debian-12/tests/test_node.py").read_text()
    assert 'ZONES = ("UTC",)' in suite
    assert '"/etc/amigen/zone"' in suite
    assert "zone_is UTC" in amigen("export", "ssm-document", "spec.yaml")
    if os.geteuid() == 0:
        report = json.loads(amigen("verify", "spec.yaml", "local", "--output", "json", code=6))
        found = {result["id"]: result for result in report["results"]}["test_time_zone[UTC]"]
        assert (found["outcome"], found["todo"]) == ("failed", "timedatectl set-timezone UTC")
        assert found["step"].startswith("write /etc/amigen/release.json")
