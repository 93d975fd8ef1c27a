"""The gate in a virtual machine whose units are joined as those of the EKS image of Amazon Linux 2023 are.

nodeadm and kubelet are stand-ins (`tests.testbed.dnf_standin`): nodeadm-config before cloud-init, nodeadm-run after it,
which starts kubelet by itself. It proves what systemd does with their jobs, not what nodeadm does.

One machine, eight boots, in the order of the tests.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from amigen import parse_spec, plan_image, user_data
from amigen.vm import Machine, scratch
from tests.testbed.dnf_standin import dnf_standin_base
from tests.testbed.guest import wait_for_cloud_init

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "nodeadm",
    "kubernetesVersion": "1.34",
    "platforms": ["al2023"],
    "join": {
        "eks": {
            "name": "web",
            "apiServerEndpoint": "https://example.com",
            "certificateAuthority": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==",
            "serviceCIDR": "10.100.0.0/16",
        }
    },
    # So much that it is packed.
    "files": [{"path": "/etc/bulk", "content": "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(112))}],
    # The same user data at each boot: it fails where a test says so.
    "hooks": {"before": [{"name": "maybe", "script": "test ! -e /broken", "run": "always"}]},
}
# cloud-init takes the machine for a new one, and runs its user data again.
NEW = "cloud-init clean --logs"
GATE = "/etc/systemd/system/amigen-ready.service /etc/systemd/system/*/*amigen-ready* /usr/local/lib/amigen"
STOCK = f"rm -rf {GATE} /etc/amigen /var/lib/amigen"
# The user data of this machine is packed; the stand-in for a document that was damaged is a node that cannot read it.
BREAK, MEND = "mv /usr/bin/base64 /usr/bin/base64.away", "mv /usr/bin/base64.away /usr/bin/base64"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the base image cannot be made")
    base = dnf_standin_base()
    document = user_data(plan_image(parse_spec(SPEC), "al2023"))
    assert b"\n# Packed by amigen: " in document
    with (
        scratch("test") as work,
        Machine(base.image, work=work, user=base.user, user_data=document, log=print) as made,
    ):
        yield made


def out(machine: Machine, command: str) -> str:
    return machine.run(f"sudo sh -c {command!r}").stdout.strip()


def booted(machine: Machine, *, with_: str = "") -> None:
    """At the end of a boot, with the jobs of all units done."""
    if with_:
        assert machine.run(f"sudo sh -c {with_!r}").returncode == 0
        machine.reboot()
    machine.wait_for_ssh()
    wait_for_cloud_init(machine)
    out(machine, "systemctl is-system-running --wait")


def states(machine: Machine) -> dict[str, str]:
    units = ("nodeadm-config", "amigen-ready", "nodeadm-run", "kubelet")
    return dict(zip(units, out(machine, f"systemctl is-active {' '.join(units)}").splitlines(), strict=True))


CLOSED = {"nodeadm-config": "inactive", "amigen-ready": "inactive", "nodeadm-run": "inactive", "kubelet": "inactive"}
OPEN = {**CLOSED, "amigen-ready": "active", "kubelet": "active"}


def last_line(machine: Machine) -> str:
    return out(machine, "grep ^amigen: /var/log/cloud-init-output.log").splitlines()[-1]


def test_a_stock_image_joins_once_it_is_ready(machine: Machine) -> None:
    """nodeadm-run, whose job was queued before there was a gate, starts kubelet after the modules are there."""
    booted(machine)
    assert last_line(machine).startswith("amigen: ready: ")
    assert states(machine) == OPEN
    assert out(machine, "cat /run/kubelet-saw") == "11"


def test_a_failed_bootstrap_on_a_baked_image_does_not_join(machine: Machine) -> None:
    """The gate of the image is open at boot, and closed for nodeadm-run, whose job waits for cloud-init."""
    booted(machine, with_=f"{NEW} && touch /var/lib/amigen/baked /broken")
    assert last_line(machine) == "amigen: FAILED: the hook maybe ended with code 1"
    assert "this node is ready" in out(machine, "journalctl -b -u amigen-ready")
    # What the unit says is what it found at boot.
    assert states(machine) == {**CLOSED, "amigen-ready": "active"}


def test_a_failed_bootstrap_is_not_forgotten_at_a_reboot(machine: Machine) -> None:
    """cloud-init does not run it again: the gate is closed until somebody does; then the docs' way back opens it."""
    booted(machine, with_="true")
    assert states(machine) == {**CLOSED, "amigen-ready": "failed"}
    assert "the bootstrap has not run to its end" in machine.console.read_text(errors="replace")
    assert machine.run("sudo rm /broken && sudo bash /var/lib/cloud/instance/scripts/*").returncode == 0
    assert machine.run("sudo systemctl restart nodeadm-run").returncode == 0
    assert states(machine) == OPEN


def does_not_join(machine: Machine, *, with_: str, at_boot: str, after_reboot: str) -> None:
    """The bootstrap is not unpacked, which is said; no kubelet, and none after a reboot."""
    booted(machine, with_=f"{NEW} && {with_}")
    assert last_line(machine).startswith("amigen: FAILED: cannot unpack the user data to /run/amigen/unpacked/")
    assert "status: error" in out(machine, "cloud-init status")
    assert states(machine) == {**CLOSED, "amigen-ready": at_boot}
    booted(machine, with_="true")
    assert states(machine) == {**CLOSED, "amigen-ready": after_reboot}


def test_a_packed_bootstrap_that_cannot_be_unpacked_does_not_join(machine: Machine) -> None:
    """On a baked image, whose gate is open at boot."""
    does_not_join(machine, with_=f"touch /var/lib/amigen/baked && {BREAK}", at_boot="active", after_reboot="failed")


def test_nor_does_it_on_a_stock_image(machine: Machine) -> None:
    """There is no gate yet: the units are held, by hand too, until a run ends well."""
    does_not_join(machine, with_=STOCK, at_boot="inactive", after_reboot="inactive")
    machine.run("sudo systemctl start kubelet")
    assert states(machine)["kubelet"] == "inactive"
    assert machine.run(f"sudo {MEND} && sudo bash /var/lib/cloud/instance/scripts/*").returncode == 0
    assert "kept: " not in out(machine, "journalctl -b -t amigen")
    assert machine.run("sudo systemctl restart nodeadm-run").returncode == 0
    assert states(machine) == OPEN


def test_a_stock_image_on_which_no_gate_can_be_installed_does_not_join(machine: Machine) -> None:
    """The run fails before its first file: nodeadm-run is held all the same, and kubelet by hand, too."""
    booted(machine, with_=f"{NEW} && {STOCK} && touch /var/lib/amigen")
    assert last_line(machine).startswith("amigen: FAILED: cannot make /var/lib/amigen")
    assert "status: error" in out(machine, "cloud-init status")
    assert states(machine) == CLOSED
    machine.run("sudo systemctl start kubelet")
    assert states(machine)["kubelet"] == "inactive"
