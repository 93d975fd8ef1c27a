"""Secure Boot: Debian's signed boot loader and kernel under firmware with Microsoft's keys, and a module without one.

The firmware of amigen's own VMs has no keys, so this gives QEMU another one (/usr/share/doc/ovmf of Debian). It proves
what amigen says of a machine that enforces signatures; not that `amigen build` boots one.
"""

from __future__ import annotations

import shutil
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from amigen.connections.model import Target
from amigen.userdata.make import user_data
from amigen.verify.cause import evidence_script
from amigen.verify.run import Options, check_host, make_report
from amigen.vm import Machine, VmImage, scratch
from amigen.vm.qemu import qemu_command
from tests.testbed.cloud_image import signed_cloud_image
from tests.verify.images import proof_plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CODE, VARIABLES = (Path(f"/usr/share/OVMF/OVMF_{part}_4M.ms.fd") for part in ("CODE", "VARS"))
SIGNATURE_END = b"~Module signature appended~\n"


def without_signature(module: Path) -> None:
    """Cut what the kernel's scripts/sign-file appended (struct module_signature, include/linux/module_signature.h)."""
    content = module.read_bytes()
    assert content.endswith(SIGNATURE_END)
    at = len(content) - len(SIGNATURE_END) - 12
    [size] = struct.unpack(">I", content[at + 8 : at + 12])
    module.write_bytes(content[: at - size])


def break_module(root: Path) -> None:
    [module] = root.glob("lib/modules/*/kernel/net/netfilter/ipvs/ip_vs_nq.ko")
    without_signature(module)


def with_keys(image: VmImage, work: Path, **given: Any) -> list[str]:
    """QEMU with firmware that enforces signatures, and its variables, which it writes."""
    command = qemu_command(image, work, **given)
    at = command.index("-bios")
    variables = work / "vars.fd"
    if not variables.exists():
        shutil.copy(VARIABLES, variables)
    drives = (f"unit=0,readonly=on,file={CODE}", f"unit=1,file={variables}")
    command[at : at + 2] = [word for each in drives for word in ("-drive", f"if=pflash,format=raw,{each}")]
    machine = command.index("-machine") + 1
    command[machine] += ",smm=on"
    return [*command, "-global", "driver=cfi.pflash01,property=secure,value=on"]


def test_the_kernel_refuses_a_module_and_the_report_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not CODE.is_file():
        pytest.skip("not proven here: no OVMF with Microsoft's keys (package ovmf)")
    monkeypatch.setattr("amigen.vm.machine.qemu_command", with_keys)
    plan = proof_plan(tmp_path)
    image = VmImage.at(signed_cloud_image("debian-12", break_module), uefi=True)
    with (
        scratch("secure") as work,
        Machine(image, work=work, user="debian", user_data=user_data(plan), disk_gib=8) as machine,
    ):
        machine.wait_for_ssh(1200)
        machine.ssh.wait_until_booted()
        state = machine.run(
            "od -An -t u1 -j4 /sys/firmware/efi/efivars/SecureBoot-*; cat /sys/kernel/security/lockdown"
        )
        assert state.stdout.split() == ["1", "none", "[integrity]", "confidentiality"], state
        said = as_root(machine, "grep '^amigen: FAILED' /var/log/cloud-init-output.log")
        assert "ip_vs_nq" in said
        assert "Key was rejected by service" in said
        # Its next boot asks no user data.
        as_root(machine, "printf '%s\\n' ip_vs ip_vs_nq >/etc/modules-load.d/ipvs.conf")
        machine.reboot(1200)
        machine.ssh.wait_until_booted()
        results = check_host(plan, machine.ssh.as_root, Options()).results
        red = {each.id for each in results if each.outcome == "failed"}
        assert "test_module_loaded[ip_vs]" not in red
        assert "test_module_loaded[ip_vs_nq]" in red
        evidence = as_root(machine, evidence_script(plan.modules))
        loaded = [each for each in results if each.id.startswith("test_module_loaded[")]
        report = make_report(
            plan, Target(text="vm", kind="image", name="vm"), datetime.now(UTC), 0, loaded, evidence=evidence
        )
    assert "ip_vs_nq" in report.causes[0].text
    assert "Key was rejected by service" in report.causes[0].text


def as_root(machine: Machine, script: str) -> str:
    return machine.run(["sudo", "-n", "sh", "-c", script], timeout=300).stdout
