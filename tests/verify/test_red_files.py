"""Every check of files seen red: one thing broken in a good root makes exactly its checks fail.

The root is real apt's, made ready by the rendered bootstrap (tests.testbed.roots); its kernel is files alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs

from amigen.checks import KINDS
from amigen.checks.command import CommandCheck
from amigen.checks.hygiene import LEFTOVERS
from amigen.checks.package import PackageCheck
from amigen.knowledge import IPVS_MODULES
from amigen.plan.model import ImagePlan
from amigen.verify.report import Report
from amigen.verify.run import Options, verify_many
from tests.verify.good_root import KERNEL, Good

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="makes and enters a root")]


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Put the file or folder back as it was, or remove what was not there."""
    aside = Path(f"{path}.kept-by-test")
    there = os.path.lexists(path)
    if there:
        subprocess.run(["cp", "-a", "-T", str(path), str(aside)], check=True)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(path)], check=True)
        if there:
            aside.rename(path)


def failed(report: Report) -> set[str]:
    return {result.id for result in report.results if result.outcome in ("failed", "error")}


def look(good: Good, *, plan: ImagePlan | None = None, hygiene: bool = True) -> Report:
    return verify_many(plan or good.plan, [f"chroot://{good.root}"], Options(hygiene=hygiene))[0]


def put(path: Path, text: str = "left by the builder\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_good_root_is_green(good: Good) -> None:
    """Without this, red would prove nothing. What needs a kernel or a boot is not passed."""
    report = look(good)
    assert failed(report) == set()
    assert report.verdict == "unproven"
    assert {r.id.partition("[")[0] for r in report.results if r.outcome == "not provable"} == {
        "test_module_loaded",
        "test_connection_table",
        "test_sysctl",
        "test_unit_active",
        "test_cloud_init",
        "test_cloud_init_once",
        "test_no_failed_unit",
        "test_scheduler",
    }


MODULES = f"lib/modules/{KERNEL}"


def file_to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty_kernel(path: Path) -> None:
    (path / "kernel").mkdir(parents=True)
    (path / "modules.dep").write_text("")
    (path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")


FILE = "test_file[/etc/motd]"
BROKEN: dict[str, tuple[str, Callable[[Path], object], set[str]]] = {
    "file gone": ("etc/motd", lambda p: p.unlink(), {FILE}),
    "other content": ("etc/motd", lambda p: p.write_text("x"), {FILE}),
    "wrong mode": ("etc/motd", lambda p: p.chmod(0o666), {FILE}),
    "wrong owner": ("etc/motd", lambda p: os.chown(p, 1, 0), {FILE}),
    "wrong group": ("etc/motd", lambda p: os.chown(p, 0, 1), {FILE}),
    "a folder in its place": ("etc/motd", file_to_folder, {FILE}),
    "module file emptied": (
        "etc/modules-load.d/ipvs.conf",
        lambda p: p.write_text(""),
        {"test_file[/etc/modules-load.d/ipvs.conf]", *(f"test_module_persisted[{m}]" for m in IPVS_MODULES)},
    ),
    "one module commented out": (
        "etc/modules-load.d/ipvs.conf",
        lambda p: edit(p, "ip_vs_sed\n", "#ip_vs_sed\n"),
        {"test_file[/etc/modules-load.d/ipvs.conf]", "test_module_persisted[ip_vs_sed]"},
    ),
    "module deleted from the kernel": (
        f"{MODULES}/kernel/net/ip_vs_nq.ko",
        lambda p: p.unlink(),
        {"test_module_in_every_kernel[ip_vs_nq]"},
    ),
    "dependency deleted from the kernel": (
        f"{MODULES}/kernel/net/nf_conntrack.ko",
        lambda p: p.unlink(),
        {f"test_module_in_every_kernel[{m}]" for m in IPVS_MODULES},
    ),
    "module not in modules.dep": (
        f"{MODULES}/modules.dep",
        lambda p: edit(p, "kernel/net/ip_vs_lc.ko:", "kernel/net/other.ko:"),
        {"test_module_in_every_kernel[ip_vs_lc]"},
    ),
    "a second kernel without a module": (
        "lib/modules/7.0.0",
        empty_kernel,
        {f"test_module_in_every_kernel[{m}]" for m in IPVS_MODULES},
    ),
    "a module on the blacklist": (
        "etc/modprobe.d/site.conf",
        lambda p: put(p, "blacklist ip-vs-sed\n"),
        {"test_module_persisted[ip_vs_sed]"},
    ),
    "the unit that loads modules is masked": (
        "etc/systemd/system/systemd-modules-load.service",
        lambda p: p.symlink_to("/dev/null"),
        {f"test_module_persisted[{m}]" for m in IPVS_MODULES},
    ),
    "another file sets the module option": (
        "etc/modprobe.d/zz.conf",
        lambda p: put(p, "options ip-vs conn_tab_bits=12\n"),
        {"test_module_option[conn_tab_bits]"},
    ),
    "a later file sets the sysctl": (
        "etc/sysctl.d/99-x.conf",
        lambda p: put(p, "net.core.somaxconn=128\n"),
        {"test_sysctl_at_boot[net.core.somaxconn]"},
    ),
    "hook has not run": ("var/lib/amigen/hooks/greet.sha256", lambda p: p.unlink(), {"test_hook[greet]"}),
    "another hook has run": (
        "var/lib/amigen/hooks/greet.sha256",
        lambda p: p.write_text("0" * 64 + "\n"),
        {"test_hook[greet]"},
    ),
    "no release": ("etc/amigen/release.json", lambda p: p.unlink(), {"test_release[proof]"}),
    "release cut short": ("etc/amigen/release.json", lambda p: p.write_text('{"name": "pr'), {"test_release[proof]"}),
    "release of another spec": (
        "etc/amigen/release.json",
        lambda p: edit(p, '"name": "proof"', '"name": "other"'),
        {"test_release[proof]"},
    ),
    "unit not enabled": (
        "etc/systemd/system/multi-user.target.wants/amigen-ready.service",
        lambda p: p.unlink(),
        {"test_unit_enabled[amigen-ready.service]"},
    ),
    "package half removed": (
        "var/lib/dpkg/status",
        lambda p: edit(
            p, "Package: ipvsadm\nStatus: install ok installed", "Package: ipvsadm\nStatus: deinstall ok config-files"
        ),
        {"test_package[ipvsadm]"},
    ),
    "leftover machine-id": ("etc/machine-id", lambda p: put(p, "0" * 32), {"test_hygiene[machine-id]"}),
    "leftover host key": ("etc/ssh/ssh_host_rsa_key", put, {"test_hygiene[host-keys]"}),
    "leftover cloud-init instance": ("var/lib/cloud/instances/i-1/sem/x", put, {"test_hygiene[cloud-init]"}),
    "leftover log": ("var/log/dpkg.log", put, {"test_hygiene[logs]"}),
    "leftover journal": ("var/log/journal/0/system.journal", put, {"test_hygiene[logs]"}),
    "leftover package": ("var/cache/apt/archives/x.deb", put, {"test_hygiene[package-cache]"}),
    "leftover package list": ("var/lib/apt/lists/mirror_Packages", put, {"test_hygiene[package-cache]"}),
    "leftover key of the builder": ("root/.ssh/authorized_keys", put, {"test_hygiene[authorized-keys]"}),
    "leftover history": ("root/.bash_history", put, {"test_hygiene[shell-history]"}),
    "leftover temporary file": ("var/tmp/script.sh", put, {"test_hygiene[temporary-files]"}),
    "leftover random seed": ("var/lib/systemd/random-seed", put, {"test_hygiene[random-seed]"}),
    "leftover device identity": ("etc/nvme/hostnqn", put, {"test_hygiene[device-identity]"}),
    "leftover kubelet state": ("var/lib/kubelet/cpu_manager_state", put, {"test_hygiene[kubelet-state]"}),
    "leftover lease": ("var/lib/dhcp/dhclient.eth0.leases", put, {"test_hygiene[leases]"}),
    "leftover dump": ("var/lib/systemd/coredump/core.x", put, {"test_hygiene[dumps-and-stamps]"}),
    "leftover account backup": ("etc/shadow-", put, {"test_hygiene[account-backups]"}),
    "leftover hostname": ("etc/hostname", put, {"test_hygiene[hostname]"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(good: Good, name: str) -> None:
    """Exactly the checks of what is broken fail, each with what was found and what to do."""
    place, breaks, expected = BROKEN[name]
    path = good.root / place
    with kept(path):
        breaks(path)
        report = look(good)
    assert failed(report) == expected
    assert report.verdict == "failed"
    for result in report.results:
        if result.outcome == "failed":
            assert result.found


def test_every_hygiene_subject_is_seen_red() -> None:

    red = set().union(*(expected for _place, _breaks, expected in BROKEN.values()))
    assert {f"test_hygiene[{what}]" for what in LEFTOVERS} <= red


def test_every_check_of_files_is_seen_red() -> None:
    """Commands are, where the package is really removed, below."""
    red = set().union(*(expected for _place, _breaks, expected in BROKEN.values())) | {"test_command["}
    kinds = {kind.test for kind in KINDS if kind.needs == "files"}
    assert kinds == {name.partition("[")[0] for name in red}


def test_a_package_that_was_really_removed(good: Good) -> None:
    with kept(good.root / "var/lib/dpkg"), kept(good.root / "sbin/ipvsadm"):
        subprocess.run(["chroot", str(good.root), "dpkg", "--purge", "ipvsadm"], check=True, capture_output=True)
        command = structs.replace(good.plan, always=(*good.plan.always, CommandCheck(command="ipvsadm")))
        report = look(good, plan=command, hygiene=False)
    assert failed(report) == {"test_package[ipvsadm]", "test_command[ipvsadm]"}


def test_another_version_than_the_pinned_one(good: Good) -> None:
    query = ["chroot", str(good.root), "dpkg-query", "-f", "${Version}", "-W", "ipvsadm"]
    version = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    for wanted, red in ((version, set()), ("0.0-1", {"test_package[ipvsadm]"})):
        pinned = structs.replace(good.plan, steps=(), always=(PackageCheck(name="ipvsadm", version=wanted),))
        report = look(good, plan=pinned, hygiene=False)
        assert failed(report) == red


def test_a_command_that_answers_is_green(good: Good) -> None:
    command = structs.replace(good.plan, steps=(), always=(CommandCheck(command="systemctl"),))
    assert look(good, plan=command, hygiene=False).verdict == "proven"
