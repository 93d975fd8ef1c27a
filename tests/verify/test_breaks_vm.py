"""The kept list of breaks in a VM: the image is broken, boots, and the report of that node names the cause first.

Each break starts from one saved state of a node that booted from the built image, and is followed by a real boot.
What a boot makes anew (host keys, machine-id, logs) shows in the root alone, see test_breaks.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amigen.connections.model import Target
from amigen.plan.model import ImagePlan
from amigen.verify.cause import evidence_script
from amigen.verify.report import Report
from amigen.verify.run import Options, check_host, make_report
from amigen.vm import Machine, scratch
from tests.verify.breaks import BOOT_BREAKS, BREAKS, Break
from tests.verify.images import built_image, proof_plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GOOD = "good"
IN_A_VM = {name: each for name, each in BREAKS.items() if not any("hygiene" in check for check in each.red)}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ImagePlan:
    return proof_plan(tmp_path_factory.mktemp("breaks"))


@pytest.fixture(scope="module")
def machine(plan: ImagePlan) -> Iterator[Machine]:
    """A node of the image, booted without user data: nothing mends what is broken."""
    with (
        scratch("breaks") as work,
        Machine(built_image(plan), work=work, user="debian", log=print) as running,
    ):
        running.kill()
        running.command += ["-monitor", f"unix:{work / 'monitor'},server=on,wait=off"]
        running.start()
        running.wait_for_ssh()
        running.ssh.wait_until_booted()
        running.ssh.disconnect()
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(work / "monitor"))
            said = monitor.makefile("rw")
            said.write(f"savevm {GOOD}\nquit\n")
            said.flush()
            assert "Error" not in said.read()
        running.kill()
        yield running


def look(machine: Machine, plan: ImagePlan, script: str, append: str = "") -> Report:
    """Break the node, boot it again, and report."""
    command = machine.command
    machine.command = [*command, "-loadvm", GOOD]
    machine.start()
    try:
        machine.wait_for_ssh()
        done = machine.run(["sudo", "-n", "sh", "-c", script], timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        machine.command = [*command]
        machine.command[command.index("-append") + 1] += f" {append}"
        machine.reboot()
        machine.ssh.wait_until_booted()
        checked = check_host(plan, machine.ssh.as_root, Options())
        evidence = machine.run(["sudo", "-n", "sh", "-c", evidence_script(plan.modules)]).stdout
    finally:
        machine.command = command
        machine.kill()
    # Without user data there is none to have run.
    results = [each for each in checked.results if each.id != "test_cloud_init_once[user-data]"]
    return make_report(
        plan, Target(text="vm", kind="image", name="vm"), datetime.now(UTC), 0, results, evidence=evidence
    )


def failed(report: Report) -> set[str]:
    return {result.id for result in report.results if result.outcome == "failed"}


def test_the_node_is_green(machine: Machine, plan: ImagePlan) -> None:
    report = look(machine, plan, "true")
    assert [(r.id, r.found) for r in report.results if r.outcome != "passed" and r.required] == []


@pytest.mark.parametrize("name", [*IN_A_VM, *BOOT_BREAKS])
def test_break(machine: Machine, plan: ImagePlan, name: str) -> None:
    known: Break = {**IN_A_VM, **BOOT_BREAKS}[name]
    report = look(machine, plan, known.script, known.append)
    assert known.red <= failed(report)
    first = str(report.error()).splitlines()[0]
    assert known.cause in first, (first, failed(report))
    assert report.causes[0].todo
