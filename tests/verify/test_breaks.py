"""Each break of the kept list makes its own checks red, and the report's first line names the cause."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amigen.connections.model import Connection, Target
from amigen.plan.model import ImagePlan
from amigen.verify.cause import evidence_script
from amigen.verify.report import Report
from amigen.verify.run import Options, check_host, make_report
from amigen.vm import scratch
from amigen.vm.appliance import Appliance
from tests.verify.breaks import BREAKS
from tests.verify.images import built_image, proof_plan

pytestmark = pytest.mark.slow
# A second overlay over the root for each break, so that nothing of one break is left for the next.
MAKE = """\
set -e
umask 022
mkdir -p /run/b && mount -t tmpfs tmpfs /run/b && mkdir /run/b/u /run/b/w /run/b/root
mount -t overlay -o lowerdir=/,upperdir=/run/b/u,workdir=/run/b/w overlay /run/b/root
for dir in proc dev; do mount --bind /$dir /run/b/root/$dir; done
mount -t tmpfs tmpfs /run/b/root/run
"""
REMOVE = "cd /; umount /run/b/root/run /run/b/root/proc /run/b/root/dev /run/b/root; umount /run/b"


class Broken(Connection):
    """The root with a break in it."""

    def __init__(self, appliance: Appliance) -> None:
        super().__init__(appliance.target)
        self.appliance = appliance

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        return self.appliance.run(f"chroot /run/b/root /bin/sh -c {shlex.quote(script)}")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ImagePlan:
    return proof_plan(tmp_path_factory.mktemp("breaks"))


@pytest.fixture(scope="module")
def appliance(plan: ImagePlan) -> Iterator[Appliance]:
    with scratch("breaks") as work, Appliance(built_image(plan), work=work, log=print) as running:
        yield running


def look(appliance: Appliance, plan: ImagePlan, script: str, *, hygiene: bool = True) -> Report:
    done = appliance.run(MAKE)
    assert done.returncode == 0, done.stderr
    root = Broken(appliance)
    try:
        broken = root.run(script)
        assert broken.returncode == 0, broken.stderr
        results = check_host(plan, root, Options(hygiene=hygiene), phase="image").results
        evidence = root.run(evidence_script(("ip_vs",))).stdout.decode()
    finally:
        done = appliance.run(REMOVE)
        assert done.returncode == 0, done.stderr
    shown = {check.id for check in plan.checks if check.needs == "files"}
    target = Target(text="disk.qcow2", kind="image", name="disk.qcow2")
    kept = [result for result in results if result.id in shown]
    return make_report(plan, target, datetime.now(UTC), 0.0, kept, evidence=evidence)


def failed(report: Report) -> set[str]:
    return {result.id for result in report.results if result.outcome != "passed"}


def test_the_image_is_green(appliance: Appliance, plan: ImagePlan) -> None:
    """Without this, red would prove nothing."""
    report = look(appliance, plan, "true")
    assert [(r.id, r.found) for r in report.results if r.outcome != "passed"] == []
    assert report.causes == ()


@pytest.mark.parametrize("name", BREAKS)
def test_break(appliance: Appliance, plan: ImagePlan, name: str) -> None:
    known = BREAKS[name]
    # Ten more commands, which take longest in an emulated machine.
    hygiene = any(check.startswith("test_hygiene[") for check in known.red)
    report = look(appliance, plan, known.script, hygiene=hygiene)
    assert failed(report) == known.red
    first = str(report.error()).splitlines()[0]
    assert known.cause in first, first
    assert report.causes[0].todo


def test_the_list_covers_the_plan(plan: ImagePlan) -> None:
    """Each check of the plan that files can show is red in some break."""
    red = frozenset().union(*(each.red for each in BREAKS.values()))
    wanted = {check.id for check in plan.checks if check.needs == "files"}
    assert wanted - red == set()
    assert len(BREAKS) >= 40
