"""The first boot of a stock VM, from its start until all is up: ours, the mission's bare commands, cloud-config.

A Debian 12 with the real apt and its own kernel, so that modules are loaded as well. Where KVM does not work, its
processor is emulated, on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from amigen import parse_spec, plan_image
from amigen.userdata.make import user_data
from amigen.vm import Machine, built_in_base, scratch
from amigen.vm.bases import Base
from tests.bench.node import BARE, CLOUD_CONFIG, MODULES
from tests.bench.row import Row, ratios

RUNS = 3
SPEC = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "bench",
    "kubernetesVersion": "1.34",
    "platforms": ["debian-12"],
}
MODPROBE = f"modprobe -a {MODULES} nf_conntrack"


def rows() -> Iterator[Row]:
    """Whole first boots, in turn."""
    base = built_in_base("debian-12", "x86_64", log=_quiet)
    ours = user_data(plan_image(parse_spec(SPEC), "debian-12"))
    others = (
        ("the mission's bare commands", f"#!/bin/bash\n{BARE}{MODPROBE}\n"),
        ("plain cloud-config", CLOUD_CONFIG.replace('["true"]', f'["{MODPROBE}"]')),
    )
    for name, text in others:
        values = ratios(partial(_seconds, base, ours), partial(_seconds, base, text.encode()), runs=RUNS)
        yield Row(what=f"first boot of a stock VM: user data / {name}", values=values, aim=1.2)


def _seconds(base: Base, document: bytes) -> float:
    with (
        scratch("boot") as work,
        Machine(base.image, work=work, user=base.user, user_data=document, disk_gib=8) as machine,
    ):
        started = time.perf_counter()
        machine.wait_for_ssh()
        machine.ssh.wait_until_booted()
        took = time.perf_counter() - started
        done = machine.run("lsmod | grep -c '^ip_vs'; command -v ipvsadm || ls /usr/sbin/ipvsadm", timeout=60)
        assert int(done.stdout.split()[0]) >= len(MODULES.split()), done.stdout + done.stderr
        assert "ipvsadm" in done.stdout
    return took


def _quiet(_line: str) -> None:
    pass
