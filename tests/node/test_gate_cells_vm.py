"""The gate and every kind of unit that starts kubelet, in every state: one booted machine with real systemd.

The units are stand-ins with the names of the real ones: a process named kubelet that sleeps, or one that ends at once
where it is to crash-loop. `/etc/os-release` is that of the platform in question. It proves what systemd does with these
units, drop-ins and jobs, and nothing of kubelet, nodeadm or snapd.
Fresh boots and queued jobs are in `test_gate_vm.py` and `test_nodeadm_vm.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.platforms import PLATFORMS
from amigen.scripts.bootstrap import bootstrap_script
from amigen.vm import Machine, built_in_base, scratch
from amigen.vm.ssh import Completed
from tests.testbed.guest import wait_for_cloud_init

pytestmark = pytest.mark.slow

RUNS = "ExecStart=/usr/local/bin/kubelet infinity"
CRASHES = "ExecStart=/bin/sh -c 'sleep 0.5; exit 1'\nRestart=always\nRestartSec=1\n[Unit]\nStartLimitIntervalSec=0"
# nodeadm-run is a oneshot that starts kubelet.
STARTS_KUBELET = "Type=oneshot\nExecStart=/usr/bin/systemctl start kubelet.service"
# Platform -> the unit that starts kubelet there, with what it runs.
UNITS = {
    "debian-12": ("kubelet.service", RUNS),
    "ubuntu-24.04": ("snap.kubelet-eks.daemon.service", RUNS),
    "al2023": ("nodeadm-run.service", STARTS_KUBELET),
}
# The drop-in of amigen 0.1.0.
OLD_DROP_IN = "[Unit]\nRequires=amigen-ready.service\nBindsTo=amigen-ready.service\nAfter=amigen-ready.service"
RESET = r"""
systemctl unmask -q kubelet snap.kubelet-eks.daemon nodeadm-run 2>/dev/null
systemctl disable -q kubelet snap.kubelet-eks.daemon nodeadm-run 2>/dev/null
systemctl stop kubelet snap.kubelet-eks.daemon nodeadm-run amigen-ready 2>/dev/null
rm -rf /etc/systemd/system/{kubelet,snap.kubelet-eks.daemon,nodeadm-run,amigen-ready}.service{,.d}
rm -rf /run/systemd/system/*.d/10-amigen-ready.conf /run/amigen* /etc/amigen /var/lib/amigen
rm -rf /etc/systemd/system/multi-user.target.wants/amigen-ready.service /usr/local/lib/amigen
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the base image cannot be made")
    base = built_in_base("debian-12", "x86_64", log=print)
    with scratch("test") as work, Machine(base.image, work=work, user="root", log=print) as made:
        made.wait_for_ssh()
        wait_for_cloud_init(made)
        do(made, "cp /bin/sleep /usr/local/bin/kubelet")
        yield made


@pytest.fixture
def node(machine: Machine) -> Machine:
    """The machine without a trace of earlier cells."""
    do(machine, RESET)
    return machine


def do(machine: Machine, script: str) -> str:
    return run_script(machine, script).stdout.strip()


def run_script(machine: Machine, script: str) -> Completed:
    return machine.run("cat >/run/script.sh && exec bash /run/script.sh </dev/null", stdin=script)


def script_of(platform: Any, *, fails: bool = False, **spec: Any) -> str:
    base = {"apiVersion": "amigen/v1alpha1", "kind": "NodeImage", "name": "cells", "kubernetesVersion": "1.34"}
    hooks = {"hooks": {"before": [{"name": "broken", "script": "exit 3"}]}} if fails else {}
    given = {**base, "platforms": [platform], "gate": True, "kubeProxy": {"mode": "iptables"}, **hooks, **spec}
    return bootstrap_script(plan_image(parse_spec(given), platform), user_data=True)


def bootstrap(machine: Machine, platform: str, *, fails: bool = False, **spec: Any) -> str:
    """Run it; its output. On a Debian that says it is the platform."""
    fact = PLATFORMS[platform]
    do(machine, f"rm -f /etc/os-release; printf 'ID={fact.os_id}\\nVERSION_ID={fact.os_version}\\n' >/etc/os-release")
    done = run_script(machine, script_of(platform, fails=fails, **spec))
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    return done.stdout


def unit(name: str, service: str) -> str:
    """Shell that writes a unit."""
    text = f"[Unit]\nDescription=Stand-in\n[Service]\n{service}\n[Install]\nWantedBy=multi-user.target\n"
    return f"cat >/etc/systemd/system/{name} <<'UNIT'\n{text}UNIT\nsystemctl daemon-reload\n"


def processes(machine: Machine, *units: str) -> list[str]:
    """Their main processes, 0 where there is none."""
    return do(machine, f"systemctl show -p MainPID --value {' '.join(units)}").split()


def state(machine: Machine, name: str) -> str:
    return do(machine, f"systemctl is-active {name}")


def refused(machine: Machine, start: str, name: str) -> bool:
    """Whether the gate lets it not start, and its status says why."""
    said = do(machine, f"{start}; systemctl status --no-pager {name}")
    return processes(machine, name) == ["0"] and state(machine, name) == "inactive" and "NOT ready" in said


def running(machine: Machine, platform: str) -> str:
    """A node whose kubelet runs; its process."""
    name, service = UNITS[platform]
    more = unit("kubelet.service", RUNS) if platform == "al2023" else ""
    do(machine, f"{more}{unit(name, service)}systemctl start {name}")
    [process] = processes(machine, kubelet(platform))
    assert process != "0"
    return process


def kubelet(platform: str) -> str:
    """The unit whose process is kubelet."""
    return "kubelet.service" if platform == "al2023" else UNITS[platform][0]


@pytest.mark.parametrize("fails", [False, True], ids=["a good bootstrap", "a failing bootstrap"])
@pytest.mark.parametrize("platform", UNITS)
def test_a_kubelet_that_runs_goes_on_when_the_gate_is_installed(node: Machine, platform: str, fails: bool) -> None:
    """The gate is turned on on a node that has joined: the same process runs before, after, and after a reload."""
    process = running(node, platform)
    bootstrap(node, platform, fails=fails)
    do(node, "systemctl daemon-reload")
    assert processes(node, kubelet(platform)) == [process]


def old_gate(platform: str) -> str:
    """Shell that makes the gate of amigen 0.1.0, open; its script is left out."""
    units = PLATFORMS[platform].kubelet_units
    drop_ins = "".join(
        f"mkdir -p /etc/systemd/system/{name}.d\n"
        f"printf '{OLD_DROP_IN}\\n' >/etc/systemd/system/{name}.d/10-amigen-ready.conf\n"
        for name in units
    )
    service = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true"
    return f"{drop_ins}{unit('amigen-ready.service', service)}systemctl start amigen-ready\n"


@pytest.mark.parametrize("fails", [False, True], ids=["a good bootstrap", "a failing bootstrap"])
@pytest.mark.parametrize("platform", UNITS)
def test_a_node_with_the_old_drop_ins_is_moved_over(node: Machine, platform: str, fails: bool) -> None:
    """The same process; it may be started again also where the new bootstrap failed; nothing stops it any more."""
    do(node, old_gate(platform))
    process = running(node, platform)
    # One that crash-loops is never that old.
    do(node, "sleep 31")
    bootstrap(node, platform, fails=fails)
    assert processes(node, kubelet(platform)) == [process]
    do(node, f"systemctl restart {kubelet(platform)}")
    [restarted] = processes(node, kubelet(platform))
    assert restarted not in ("0", process)
    do(node, "systemctl stop amigen-ready")
    assert processes(node, kubelet(platform)) == [restarted]


@pytest.mark.parametrize("platform", UNITS)
def test_a_kubelet_that_crash_loops_is_held_by_a_failure_and_let_go_by_a_success(node: Machine, platform: str) -> None:
    """The normal state of a node that is to join later."""
    name = kubelet(platform)
    do(node, f"{unit(name, CRASHES)}systemctl start --no-block {name}; sleep 8")
    assert state(node, name) in ("active", "activating")
    bootstrap(node, platform, fails=True)
    assert do(node, f"sleep 5; systemctl is-active {name}") == "inactive"
    bootstrap(node, platform)
    assert do(node, f"sleep 5; systemctl is-active {name}") in ("active", "activating")


@pytest.mark.parametrize("platform", UNITS)
def test_a_kubelet_that_crash_loops_on_a_node_that_was_ready(node: Machine, platform: str) -> None:
    """A later run that fails closes the gate for it; one that ends well opens it and starts it."""
    name = kubelet(platform)
    bootstrap(node, platform)
    do(node, f"{unit(name, CRASHES)}systemctl start --no-block {name}; sleep 8")
    assert state(node, name) in ("active", "activating")
    bootstrap(node, platform, fails=True)
    assert do(node, f"sleep 5; systemctl is-active {name}") == "inactive"
    bootstrap(node, platform)
    assert do(node, f"sleep 2; systemctl is-active {name}") in ("active", "activating")


@pytest.mark.parametrize("platform", UNITS)
def test_a_unit_that_failed_starts_only_on_a_ready_node(node: Machine, platform: str) -> None:
    """It was started once and ended with an error; amigen does not start it, and lets it start."""
    name = UNITS[platform][0]
    do(node, f"{unit(name, 'ExecStart=/bin/false')}systemctl start {name}; sleep 1")
    assert state(node, name) == "failed"
    do(node, unit(name, RUNS))
    bootstrap(node, platform, fails=True)
    assert refused(node, f"systemctl start {name}", name)
    bootstrap(node, platform)
    assert do(node, f"sleep 1; systemctl is-active {name}") == "active"


@pytest.mark.parametrize("platform", UNITS)
def test_a_masked_unit_stays_masked(node: Machine, platform: str) -> None:
    """An administrator's decision; neither run minds it, and once unmasked, the gate holds."""
    name, service = UNITS[platform]
    do(node, f"systemctl mask -q {name}")
    bootstrap(node, platform, fails=True)
    bootstrap(node, platform)
    assert do(node, f"systemctl is-enabled {name}") == "masked"
    bootstrap(node, platform, fails=True)
    do(node, f"systemctl unmask -q {name}\n{unit(name, service)}")
    assert refused(node, f"systemctl start {name}", name)


@pytest.mark.parametrize("platform", UNITS)
def test_a_unit_that_is_installed_and_enabled_later(node: Machine, platform: str) -> None:
    """Absent while the bootstrap ran: held after a failure, and started by the run that mends it."""
    name = UNITS[platform][0]
    bootstrap(node, platform, fails=True)
    assert refused(node, f"{unit(name, RUNS)}systemctl enable -q --now {name}", name)
    bootstrap(node, platform)
    assert do(node, f"sleep 1; systemctl is-active {name}") == "active"


@pytest.mark.parametrize("platform", UNITS)
def test_a_held_unit_starts_when_amigen_ready_is_restarted(node: Machine, platform: str) -> None:
    """The way out of docs/node.md where the fault was mended by hand; while it lasts, nothing starts."""
    name = UNITS[platform][0]
    bootstrap(node, platform)
    do(
        node,
        f"{unit(name, RUNS)}mv /etc/amigen/release.json /run/; systemctl restart amigen-ready; systemctl start {name}",
    )
    assert processes(node, name) == ["0"]
    do(node, "mv /run/release.json /etc/amigen/; systemctl restart amigen-ready; sleep 1")
    assert state(node, name) == "active"
    # On a node that runs, it stops nothing, whatever it finds.
    process = processes(node, name)
    do(node, "mv /etc/amigen/release.json /run/; systemctl restart amigen-ready")
    assert state(node, "amigen-ready") == "failed"
    assert processes(node, name) == process


# Answers as bash does, and is 0.8 s later than the run's end.
SLOW = """\
mkdir -p /usr/local/slow
cat >/usr/local/slow/bash <<'BASH'
#!/bin/sh
/bin/bash "$@" && exit
touch /run/asked
until [ -s /etc/amigen/release.json ]; do sleep 0.05; done
sleep 0.8
exit 1
BASH
chmod 755 /usr/local/slow/bash
rm -f /run/asked
"""


def test_a_unit_that_is_noted_while_the_run_ends_starts(node: Machine) -> None:
    """It asked just before the node was ready."""
    name = UNITS["debian-12"][0]
    do(node, SLOW + unit(name, f"{RUNS}\nEnvironment=PATH=/usr/local/slow:/usr/bin:/bin"))
    script = f"systemctl start --no-block {name}; until [ -e /run/asked ]; do sleep 0.1; done"
    bootstrap(node, "debian-12", hooks={"after": [{"name": "asks", "script": script}]})
    assert do(node, f"sleep 3; systemctl is-active {name}") == "active"


@pytest.mark.parametrize("platform", UNITS)
def test_the_ways_out_for_nodes_that_the_gate_blocks(node: Machine, platform: str) -> None:
    """A file that an administrator makes, or a bootstrap of a spec with `gate: false`."""
    name = UNITS[platform][0]
    bootstrap(node, platform, fails=True)
    do(node, f"{unit(name, RUNS)}systemctl start {name}")
    assert processes(node, name) == ["0"]
    do(node, f"mkdir -p /etc/amigen && touch /etc/amigen/ignore-gate; systemctl start {name}")
    assert state(node, name) == "active"
    do(node, f"systemctl stop {name}; rm /etc/amigen/ignore-gate; systemctl start {name}")
    assert processes(node, name) == ["0"]
    bootstrap(node, platform, fails=True, gate=False)
    do(node, "sleep 1")
    assert state(node, name) == "active"
