"""What tests do with a guest that amigen itself does not."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.waiting import wait_until
from amigen.vm import Machine
from amigen.vm.ssh import Completed


def wait_for_cloud_init(machine: Machine) -> Completed:
    """Until cloud-init has ended, well or not; what `cloud-init status --long` says."""
    return machine.run("cloud-init status --wait >/dev/null; cloud-init status --long", timeout=600)


def copy_to(machine: Machine, source: Path, target: str) -> None:
    """Copy a file into the guest."""
    ssh = machine.ssh
    ends = [str(source), f"{ssh.user}@{ssh.host}:{target}"]
    subprocess.run(["scp", "-q", *ssh.arguments, "-P", str(ssh.port), "--", *ends], check=True, timeout=300)


def power_off(machine: Machine) -> None:
    """Shut the guest down in order."""
    # The guest may end the connection before the command does.
    with suppress(ToolError):
        machine.run("sudo -n systemctl poweroff --no-block", timeout=60)
    machine.ssh.disconnect()
    assert wait_until(lambda: not machine.running, seconds=180, every=0.2), machine.console_tail()
