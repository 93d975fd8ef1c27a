"""Image files, for real: booted, checked, rebooted, checked; and the checks of a running system seen red, each once."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from amigen.base.errors import InputError
from amigen.base.interrupt import children
from amigen.base.waiting import wait_until
from amigen.checks import KINDS
from amigen.checks.joined import JoinedCheck
from amigen.checks.kernel import KernelVersionCheck
from amigen.checks.model import Check
from amigen.connections import parse_target
from amigen.plan.model import ImagePlan
from amigen.userdata.make import user_data
from amigen.verify.report import Result
from amigen.verify.run import Options, check_host
from amigen.verify.vm import verify_image
from amigen.vm import Machine, VmImage, built_in_base, scratch
from tests.build.processes import has_ended, running
from tests.verify.breaks import BOOT_BREAKS
from tests.verify.images import SPEC, built_image, proof_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan() -> ImagePlan:
    with tempfile.TemporaryDirectory() as folder:
        return proof_plan(Path(folder))


@pytest.fixture(scope="module")
def image(plan: ImagePlan) -> VmImage:
    return built_image(plan)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_built_image_is_proven(plan: ImagePlan, image: VmImage) -> None:
    """Hygiene, a boot without user data, a reboot, and a second node for which user data has nothing to do."""
    before = digest(image.disk)
    report = verify_image(plan, parse_target(str(image.disk)), Options(log=print))
    assert [(r.id, r.phase, r.found) for r in report.results if r.outcome != "passed"] == []
    assert report.verdict == "proven"
    assert [phase.name for phase in report.phases] == ["image", "first boot", "after a reboot", "second node"]
    wanted = {check.id for check in plan.checks if not check.image}
    for phase in ("first boot", "after a reboot"):
        assert {r.id for r in report.results if r.phase == phase} == wanted - {"test_cloud_init_once[user-data]"}
    compared = {"test_twins[machine-id]", "test_twins[host-keys]", "test_user_data[changes-nothing]"}
    assert {r.id for r in report.results if r.phase == "second node"} == wanted | compared
    assert report.causes == ()
    assert digest(image.disk) == before


def test_user_data_does_not_mend_what_is_judged(plan: ImagePlan, image: VmImage, tmp_path: Path) -> None:
    """Three breaks that the spec's user data repairs at the first boot: all are red, on the image as it is."""
    broken = broken_copy(
        image, tmp_path, ("/etc/modules-load.d/ipvs.conf", b""), ("/etc/systemd/system/amigen-ready.service", b"x")
    )
    debugfs(broken, "set_inode_field /etc/motd mode 0100666")
    report = verify_image(plan, parse_target(str(broken)), Options(log=print, reboot=False))
    assert report.verdict == "failed"
    red = {r.id for r in report.results if r.phase == "first boot" and r.outcome == "failed"}
    assert red >= {
        "test_module_persisted[ip_vs]",
        "test_module_loaded[ip_vs]",
        "test_file[/etc/modules-load.d/ipvs.conf]",
        "test_file[/etc/systemd/system/amigen-ready.service]",
        "test_file[/etc/motd]",
        "test_unit_active[amigen-ready.service]",
    }
    (changed,) = [r for r in report.results if r.id == "test_user_data[changes-nothing]"]
    assert changed.outcome == "failed"
    assert "writing /etc/modules-load.d/ipvs.conf" in changed.found
    assert "writing /etc/motd" in changed.found


def test_what_only_a_boot_shows(plan: ImagePlan, image: VmImage, tmp_path: Path) -> None:
    """The files of amigen are as they should be; the first line names the cause, and the logs of the VM are kept.

    All other breaks that a boot shows are in test_breaks_vm.py.
    """
    known = BOOT_BREAKS["module on the blacklist"]
    [check] = known.red
    broken = broken_copy(image, tmp_path, ("/etc/modprobe.d/site.conf", b"blacklist ip_vs_sed\n"))
    options = Options(log=print, reboot=False, user_data=False, logs=tmp_path / "logs")
    report = verify_image(plan, parse_target(str(broken)), options)
    # The blacklist is seen in the files, too.
    seen = {r.id for r in report.results if r.phase == "image" and r.outcome != "passed"}
    assert seen <= {check.replace("loaded", "persisted")}
    assert check in {r.id for r in report.results if r.outcome == "failed"}
    assert known.cause in str(report.error()).splitlines()[0]
    assert options.logs is not None
    assert {file.name for file in options.logs.iterdir() if file.stat().st_size} == {
        *("first-console.log", "first-cloud-init.log", "first-journal.log")
    }


def test_a_stock_image_is_told_apart(plan: ImagePlan) -> None:
    """User data makes it a node of the spec, and it is no image of the spec."""
    base = built_in_base("debian-12", "x86_64", log=print)
    report = verify_image(plan, parse_target(str(base.image.disk)), Options(log=print, reboot=False))
    assert report.verdict == "failed"
    assert report.causes[0].text == "not built by amigen from this spec: there is no such file"
    assert str(report.error()).startswith(f"{base.image.disk}: not built by amigen from this spec")
    assert {r.id for r in report.results if r.phase == "first boot" and r.outcome == "passed"} <= {
        *(check.id for check in plan.checks if check.test in ("test_module_in_every_kernel", "test_hygiene")),
        *(check.id for check in plan.always),
        # 4096 is what kernels have by default since 5.4.
        "test_sysctl[net.core.somaxconn]",
    }


def test_a_user_that_the_image_does_not_have(plan: ImagePlan, image: VmImage) -> None:
    """Said when cloud-init has ended, and not after all the time that a boot may take."""
    options = Options(log=print, reboot=False, user_data=False, user="deploy")
    report = verify_image(plan, parse_target(str(image.disk)), options)
    found = [r.found for r in report.results if r.phase == "first boot"]
    assert len(found) == 1
    assert "the VM lets nobody in as deploy, and cloud-init has ended" in found[0]


def test_an_image_of_another_platform(plan: ImagePlan, image: VmImage) -> None:
    """Its disk says so; nobody waits for a user that it does not have."""
    other = structs.replace(plan, platform="ubuntu-24.04")
    with pytest.raises(InputError, match=r"this is Debian GNU/Linux 12 .*, and the spec is for Ubuntu 24\.04"):
        verify_image(other, parse_target(str(image.disk)), Options(log=print))
    assert children() == []


def test_a_kept_node_is_entered(image: VmImage, tmp_path: Path) -> None:
    """`--keep`: what failed is said, the command that is printed enters the node, and Ctrl-C ends it."""
    disk = broken_copy(image, tmp_path, ("/etc/motd", b"broken"))
    (tmp_path / "spec.yaml").write_text(SPEC)
    options = ("--keep", "--no-reboot", "--no-user-data", "--no-hygiene")
    command = [sys.executable, "-m", "amigen", "verify", "spec.yaml", str(disk), *options]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        while "enter it with: " not in (line := process.stderr.readline()):
            assert line, said
            said.append(line)
        assert any(each.startswith("test_file[/etc/motd] (first boot): ") for each in said), said
        enter = line.partition("enter it with: ")[2].strip()
        done = subprocess.run(f"{enter} cat /etc/motd", shell=True, capture_output=True, text=True, timeout=300)
        assert done.stdout == "broken", done.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    assert running(enter.split()[2].replace("id_ed25519", "disk.qcow2")) == []


def broken_copy(image: VmImage, folder: Path, *written: tuple[str, bytes]) -> Path:
    """A raw copy of the image with other content in these files, and its kernel beside it."""
    disk = folder / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", str(image.disk), str(disk)], check=True)
    for file in (image.kernel, image.initrd):
        assert file is not None
        disk.with_suffix(file.suffix).symlink_to(file)
    for path, content in written:
        (folder / "content").write_bytes(content)
        debugfs(disk, f"rm {path}")
        debugfs(disk, f"write {folder / 'content'} {path}")
        debugfs(disk, f"set_inode_field {path} mode 0100644")
    return disk


def debugfs(disk: Path, command: str) -> None:
    subprocess.run(["/sbin/debugfs", "-w", "-R", command, str(disk)], check=True, capture_output=True)


_HOLDS_A_MACHINE = """
import sys, time
from pathlib import Path
from amigen.vm import Machine, VmImage, built_in_base, scratch
with scratch("killed") as work, Machine(VmImage.at(Path(sys.argv[1])), work=work, user="debian") as machine:
    print(machine._process.pid, flush=True)
    time.sleep(600)
"""


def test_a_machine_does_not_outlive_a_killed_owner(image: VmImage) -> None:
    command = [sys.executable, "-c", _HOLDS_A_MACHINE, str(image.disk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        qemu = int(owner.stdout.readline())
        # From here on it is tied: before, setpriv may not have asked the kernel for the signal yet.
        while not Path(f"/proc/{qemu}/exe").readlink().name.startswith("qemu-system"):
            time.sleep(0.05)
        owner.kill()
    assert wait_until(lambda: has_ended(qemu), seconds=300, every=0.05)


@pytest.fixture(scope="module")
def machine(plan: ImagePlan, image: VmImage) -> Iterator[Machine]:
    with scratch("verify-test") as work:
        given = {"work": work, "user": "debian", "user_data": user_data(plan), "log": print}
        with Machine(image, **given) as running:  # type: ignore[arg-type]
            running.wait_for_ssh()
            running.run("systemctl is-system-running --wait", timeout=900)
            yield running


def look(machine: Machine, plan: ImagePlan, *, joined: bool = False) -> list[Result]:
    return check_host(plan, machine.ssh.as_root, Options(joined=joined)).results


def failed(results: list[Result]) -> set[str]:
    return {result.id for result in results if result.outcome in ("failed", "error")}


def as_root(machine: Machine, script: str) -> None:
    done = machine.run(["sudo", "-n", "sh", "-c", script], timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


RELOAD = "modprobe -r $(ls /sys/module/ip_vs/holders) ip_vs"
ALL = "systemctl restart systemd-modules-load"
RESULT = "/run/cloud-init/result.json"
MARK = "/var/lib/cloud/instance/sem/config_scripts_user"
WRAPPER = """\
mv /usr/sbin/ipvsadm /usr/sbin/ipvsadm.real
cat >/usr/sbin/ipvsadm <<'END'
#!/bin/sh
case "$*" in
*"-s nq"*) echo refused >&2; exit 255 ;;
-R) grep -v -e '-s nq' | /usr/sbin/ipvsadm.real -R; exit ;;
esac
exec /usr/sbin/ipvsadm.real "$@"
END
chmod 755 /usr/sbin/ipvsadm
"""
BROKEN: dict[str, tuple[str, str, set[str]]] = {
    "module unloaded": ("modprobe -r ip_vs_sed", "modprobe ip_vs_sed", {"test_module_loaded[ip_vs_sed]"}),
    "smaller table": (
        f"{RELOAD}; modprobe ip_vs conn_tab_bits=12; {ALL}",
        f"{RELOAD}; {ALL}",
        {"test_connection_table[65536]"},
    ),
    "scheduler refused": (WRAPPER, "mv /usr/sbin/ipvsadm.real /usr/sbin/ipvsadm", {"test_scheduler[nq]"}),
    "other kernel parameter": (
        "echo 99 >/proc/sys/net/core/somaxconn",
        "echo 4096 >/proc/sys/net/core/somaxconn",
        {"test_sysctl[net.core.somaxconn]"},
    ),
    "unit stopped": (
        "systemctl stop amigen-ready",
        "systemctl start amigen-ready",
        {"test_unit_active[amigen-ready.service]"},
    ),
    "unit failed": (
        "systemd-run --quiet --wait --unit=amigen-broken false; true",
        "systemctl reset-failed",
        {"test_no_failed_unit[systemd]"},
    ),
    "user data failed": (
        f'cp {RESULT} /run/kept; sed -i \'s/"errors": \\[\\]/"errors": ["scripts_user failed"]/\' {RESULT}',
        f"mv /run/kept {RESULT}",
        {"test_cloud_init[done]"},
    ),
    "cloud-init not through": (f"mv {RESULT} /run/kept", f"mv /run/kept {RESULT}", {"test_cloud_init[done]"}),
    "user data at every boot": (f"mv {MARK} /run/kept", f"mv /run/kept {MARK}", {"test_cloud_init_once[user-data]"}),
}


def test_the_running_node_is_green(machine: Machine, plan: ImagePlan) -> None:
    results = look(machine, plan)
    assert {r.outcome for r in results} == {"passed"}, [r for r in results if r.outcome != "passed"]


@pytest.mark.parametrize("name", BROKEN)
def test_broken(machine: Machine, plan: ImagePlan, name: str) -> None:
    """Exactly the check of what is broken fails, and is green again when it is mended."""
    breaks, mends, expected = BROKEN[name]
    as_root(machine, breaks)
    try:
        results = look(machine, plan)
    finally:
        as_root(machine, mends)
    assert failed(results) == expected
    assert all(r.found and r.todo for r in results if r.outcome == "failed")


def with_checks(plan: ImagePlan, *wanted: Check) -> ImagePlan:
    return structs.replace(plan, steps=(), always=wanted)


def test_a_kernel_that_is_too_old(machine: Machine, plan: ImagePlan) -> None:
    """No such kernel can be had here, and so the demand is what is wrong."""
    old, enough = (with_checks(plan, KernelVersionCheck(minimum=m)) for m in ((99, 0), (5, 13)))
    assert failed(look(machine, old)) == {"test_kernel_version[99.0]"}
    assert failed(look(machine, enough)) == set()


def test_a_node_that_has_not_joined(machine: Machine, plan: ImagePlan) -> None:
    """It fails where it must have joined; elsewhere it is not provable, and not asked for."""
    join = with_checks(plan, JoinedCheck())
    assert failed(look(machine, join, joined=True)) == {"test_joined[kubelet]"}
    (result,) = look(machine, join)
    assert (result.outcome, result.required) == ("not provable", False)


def test_every_check_of_a_running_system_is_seen_red() -> None:
    red = set().union(*(expected for _b, _m, expected in BROKEN.values())) | {"test_kernel_version[", "test_joined["}
    kinds = {kind.test for kind in KINDS if kind.needs != "files"}
    assert kinds <= {name.partition("[")[0] for name in red}
