"""User data in a real virtual machine, by cloud-init: the gate, the modules, a reboot, and a node that must not join.

kubelet is a stand-in: a unit that starts after cloud-final, and notes how many modules it found. Debian's cloud-final
comes after multi-user.target, so that it hangs on cloud-init.target: on multi-user.target, systemd would drop its job
to break the ordering cycle. It proves systemd's behaviour, not kubelet's. Units as those of nodeadm, and a bootstrap
that fails at the first boot, are in `test_nodeadm_vm.py`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen import parse_spec, plan_image, user_data
from amigen.scripts.bootstrap import bootstrap_script
from amigen.vm import Base, Machine, VmImage, built_in_base, scratch
from tests.testbed.guest import copy_to, wait_for_cloud_init

pytestmark = pytest.mark.slow

KUBELET = """\
[Unit]
Description=Stand-in for kubelet
After=cloud-final.service
[Service]
ExecStart=/bin/sh -c 'grep -c ^ip_vs /proc/modules > /run/kubelet-saw; exec sleep infinity'
[Install]
WantedBy=cloud-init.target
"""
SPEC: dict[str, Any] = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "gate",
    "kubernetesVersion": "1.34",
    "platforms": ["debian-12"],
    "gate": True,
    "kubeProxy": {"ipvs": {"scheduler": "sed", "connTabBits": 16}},
    "sysctls": {"net.core.somaxconn": 4321},
}


def document(**changes: Any) -> bytes:
    return user_data(plan_image(parse_spec({**SPEC, **changes}), "debian-12"))


@pytest.fixture(scope="module")
def base() -> Base:
    if os.geteuid() != 0:
        pytest.skip("needs root: the base image cannot be made")
    return built_in_base("debian-12", "x86_64", log=print)


@pytest.fixture(scope="module")
def image(base: Base, tmp_path_factory: pytest.TempPathFactory) -> VmImage:
    """The base with the stand-in of kubelet in it, put there without booting or mounting it."""
    folder = tmp_path_factory.mktemp("image")
    raw, unit = folder / "disk.raw", folder / "kubelet.service"
    unit.write_text(KUBELET)
    run("qemu-img", "convert", "-O", "raw", str(base.image.disk), str(raw))
    # debugfs writes into its current folder only, and ends with 0 whatever happens.
    commands = folder / "commands"
    commands.write_text(
        f"cd /etc/systemd/system\nwrite {unit} kubelet.service\n"
        "mkdir cloud-init.target.wants\ncd cloud-init.target.wants\n"
        "symlink kubelet.service /etc/systemd/system/kubelet.service\n"
    )
    run("/sbin/debugfs", "-w", "-f", str(commands), str(raw))
    seen = run("/sbin/debugfs", "-R", "stat /etc/systemd/system/cloud-init.target.wants/kubelet.service", str(raw))
    assert "Type: symlink" in seen
    assert KUBELET in run("/sbin/debugfs", "-R", "cat /etc/systemd/system/kubelet.service", str(raw))
    return dataclasses.replace(base.image, disk=raw, format="raw")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def boot(base: Base, image: VmImage, work: Path, document: bytes) -> Machine:
    return Machine(image, work=work, user=base.user, user_data=document, log=print)


@pytest.fixture(scope="module")
def ready(base: Base, image: VmImage) -> Iterator[Machine]:
    """A stock image at the end of its first boot with amigen's user data."""
    with scratch("test") as work, boot(base, image, work, document()) as machine:
        machine.wait_for_ssh()
        wait_for_cloud_init(machine)
        yield machine


def out(machine: Machine, command: str) -> str:
    return machine.run(command).stdout.strip()


def test_a_stock_image_becomes_ready_at_its_first_boot(ready: Machine) -> None:
    """cloud-init ended well; modules, table and kernel parameter are there; kubelet came after the modules."""
    assert "status: done" in out(ready, "cloud-init status")
    # Before anything here could load a module: ipvsadm would.
    assert out(ready, "grep -c ^ip_vs /proc/modules") == "11"
    assert out(ready, "cat /sys/module/ip_vs/parameters/conn_tab_bits") == "16"
    assert out(ready, "cat /proc/sys/net/core/somaxconn") == "4321"
    assert "amigen: ready: " in out(ready, "sudo cat /var/log/cloud-init-output.log")
    assert out(ready, "systemctl is-active amigen-ready.service") == "active"
    assert (
        out(
            ready, "for i in $(seq 60); do systemctl is-active -q kubelet && break; sleep 1; done; cat /run/kubelet-saw"
        )
        == "11"
    )
    assert "amigen: ready" in out(ready, "sudo journalctl -b --no-pager -g 'amigen: ready'")


def test_the_second_run_on_the_node_changes_nothing(ready: Machine) -> None:
    """The same user data again: no package manager, no change, kubelet stays up."""
    again = out(ready, "sudo bash /var/lib/cloud/instance/scripts/*")
    assert again.splitlines()[-1] == "amigen: ready: 0 changes"
    assert out(ready, "systemctl is-active kubelet") == "active"


def test_a_failed_run_leaves_a_running_kubelet_alone(ready: Machine) -> None:
    """A bootstrap that fails on a working node says so, and does not stop its kubelet."""
    spec = parse_spec({**SPEC, "hooks": {"before": [{"name": "broken", "script": "exit 3"}]}})
    source = ready.work / "bad.sh"
    source.write_text(bootstrap_script(plan_image(spec, "debian-12"), user_data=True))
    copy_to(ready, source, "/tmp/bad.sh")
    assert ready.run("sudo bash /tmp/bad.sh").returncode == 1
    assert out(ready, "systemctl is-active kubelet") == "active"
    assert ready.run("sudo bash /var/lib/cloud/instance/scripts/*").returncode == 0


def test_a_table_of_another_size(ready: Machine) -> None:
    """In use: said, with what to do, and left alone. Not in use: loaded anew."""
    other = "sudo modprobe -r $(ls /sys/module/ip_vs/holders) ip_vs && sudo modprobe ip_vs conn_tab_bits=10"
    used = ready.run(f"{other} && sudo ipvsadm -A -t 192.0.2.1:80 -s rr")
    assert used.returncode == 0, used.stderr
    said = out(ready, "sudo bash /var/lib/cloud/instance/scripts/*")
    warning = "amigen: WARNING: ip_vs is in use with conn_tab_bits=10; 16 holds after the next reboot"
    assert warning in said.splitlines()
    assert out(ready, "cat /sys/module/ip_vs/parameters/conn_tab_bits") == "10"

    assert ready.run("sudo ipvsadm -C").returncode == 0
    said = out(ready, "sudo bash /var/lib/cloud/instance/scripts/*")
    assert "amigen: unloaded ip_vs (it had conn_tab_bits=10), to load it with 16" in said.splitlines()
    assert said.splitlines()[-1].startswith("amigen: ready: ")
    assert out(ready, "cat /sys/module/ip_vs/parameters/conn_tab_bits") == "16"


def test_a_clock_that_is_far_off(ready: Machine) -> None:
    """apt judges the mirror by the clock: it works, or the last line has apt's reason; with the time right it works."""
    source = ready.work / "short.sh"
    spec = parse_spec({**SPEC, "packageSources": {"timeoutSeconds": 90}})
    source.write_text(bootstrap_script(plan_image(spec, "debian-12"), user_data=True))
    copy_to(ready, source, "/tmp/short.sh")
    for year in (2001, 2099):
        removed = ready.run(
            "sudo timedatectl set-ntp false; sudo dpkg --purge ipvsadm; sudo rm -rf /var/lib/apt/lists/*"
        )
        assert removed.returncode == 0, removed.stderr
        ready.run(f"sudo date -s {year}-01-01")
        done = ready.run("sudo bash /tmp/short.sh")
        ready.run(f"sudo date -s @{int(time.time())}")
        last = done.stdout.splitlines()[-1]
        if done.returncode:
            assert last.startswith("amigen: FAILED: cannot install ipvsadm within 90 s: ")
            assert not last.endswith(": ")
        else:
            assert last.startswith("amigen: ready: ")
    again = ready.run("sudo bash /var/lib/cloud/instance/scripts/*")
    assert again.returncode == 0, again.stdout
    assert out(ready, "dpkg-query -W -f '${db:Status-Status}' ipvsadm") == "installed"


def test_a_clock_that_is_set_in_the_middle(ready: Machine) -> None:
    """Time synchronisation moves the clock ahead and back while nothing can be installed: as long as without it."""
    source = ready.work / "stepped.sh"
    spec = parse_spec({**SPEC, "packageSources": {"proxy": "http://127.0.0.1:9", "timeoutSeconds": 60}})
    source.write_text(bootstrap_script(plan_image(spec, "debian-12"), user_data=True))
    copy_to(ready, source, "/tmp/stepped.sh")
    assert ready.run("sudo timedatectl set-ntp false; sudo apt-get clean; sudo dpkg --purge ipvsadm").returncode == 0
    steps = "(sleep 3; date -s '+400 days'; sleep 20; date -s '-800 days') >/tmp/steps 2>&1 &"
    started = time.monotonic()
    done = ready.run(f'sudo bash -c "{steps} bash /tmp/stepped.sh; code=\\$?; wait; exit \\$code"')
    seconds = time.monotonic() - started
    ready.run(f"sudo date -s @{int(time.time())}")
    assert out(ready, "wc -l </tmp/steps") == "2"
    assert done.returncode == 1
    print(done.stdout)
    # What the last try came to depends on how quick the machine is, and so does how many there were.
    assert "amigen: FAILED: cannot install ipvsadm within 60 s: " in done.stdout.splitlines()[-1]
    assert "Failed to fetch http" in done.stdout
    assert all(line.startswith("amigen: ") for line in done.stdout.splitlines())
    assert 29 < seconds < 150
    assert ready.run("sudo bash /var/lib/cloud/instance/scripts/*").returncode == 0


def test_everything_is_there_after_a_reboot(ready: Machine) -> None:
    """Modules by modules-load.d before anything asks for them, the table's size, the gate, kubelet.

    Before it, the kernel is told to load no more modules, as a hardened node does: that is said, and a reboot mends it.
    """
    locked = "sudo modprobe -r $(ls /sys/module/ip_vs/holders) ip_vs && sudo sysctl -q kernel.modules_disabled=1"
    assert ready.run(locked).returncode == 0
    done = ready.run("sudo bash /var/lib/cloud/instance/scripts/*")
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    # modprobe's own words.
    assert re.search(r"^amigen: FAILED: cannot load modules: modprobe: .*Operation not permitted$", last)
    ready.reboot()
    ready.wait_for_ssh()
    assert out(ready, "grep -c ^ip_vs /proc/modules") == "11"
    assert out(ready, "cat /sys/module/ip_vs/parameters/conn_tab_bits") == "16"
    assert out(ready, "cat /proc/sys/net/core/somaxconn") == "4321"
    assert (
        out(
            ready, "for i in $(seq 90); do systemctl is-active -q kubelet && break; sleep 1; done; cat /run/kubelet-saw"
        )
        == "11"
    )
    assert "is ready for kube-proxy in ipvs mode" in ready.console.read_text(errors="replace")


def test_a_node_without_its_modules_does_not_join(ready: Machine) -> None:
    """The modules-load file is gone: after a reboot kubelet does not start, and the reason is to be read."""
    assert ready.run("sudo rm /etc/modules-load.d/ipvs.conf").returncode == 0
    before = len(ready.console.read_text(errors="replace"))
    ready.reboot()
    ready.wait_for_ssh()
    wait_for_cloud_init(ready)
    assert out(ready, "systemctl is-active amigen-ready.service") == "failed"
    assert out(ready, "sleep 5; systemctl is-active kubelet") == "inactive"
    reason = "amigen-ready: this node is NOT ready: the module ip_vs is not loaded"
    assert reason in out(ready, "sudo journalctl -b --no-pager -u amigen-ready")
    assert reason in ready.console.read_text(errors="replace")[before:]
    # The way back that the docs name.
    assert ready.run("sudo bash /var/lib/cloud/instance/scripts/*").returncode == 0
    assert ready.run("sudo systemctl restart amigen-ready kubelet").returncode == 0
    assert out(ready, "systemctl is-active kubelet") == "active"
