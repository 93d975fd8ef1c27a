"""Faults on the node, in throw-away roots with the real package managers and the rendered scripts unchanged.

What needs a kernel of its own is in `test_gate_vm.py`; locks and the network are in `test_waiting.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amigen.plan.model import ImagePlan, WriteFile
from amigen.render.script import bootstrap_script
from tests.node.conftest import Node, fresh_node
from tests.node.test_roots import INVENTORY, last_line
from tests.testbed.roots import chroot

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "gate": True,
    "kubeProxy": {"ipvs": {"scheduler": "lc", "connTabBits": 16}},
    "sysctls": {"net.core.somaxconn": 4096},
    "files": [{"path": f"/etc/app/{n}.conf", "content": f"{n}\n" * 900, "mode": "0640"} for n in range(3)],
    "hooks": {"after": [{"name": "last", "script": "command -v ipvsadm > /root/order"}]},
}
PAGE = 4096


def partial_files(node: Node, plan: ImagePlan) -> list[str]:
    """Files of the plan that are there and not what they should be, and temporary files that were left."""
    files = [step for step in plan.steps if isinstance(step, WriteFile)]
    broken = [f.path for f in files if (node.root / f.path[1:]).exists() and node.read(f.path) != f.content]
    return broken + [str(path) for path in (node.root / "etc").rglob("*.amigen-new")]


# Sourced by bash before the script, which stays as it is rendered: counts its commands, and ends all of it at one.
TRAP = """\
unset BASH_ENV
count=0
set -T
trap 'if ((++count == KILL_AT)); then kill -KILL 0; fi; ((KILL_AT)) || printf %s "$count" >/root/count' DEBUG
"""


def start(node: Node, plan: ImagePlan, kill_at: int) -> subprocess.Popen[bytes]:
    """The script in a process group of its own, killed at its command number `kill_at`."""
    node.put_script(plan)
    (node.root / "root/trap").write_text(TRAP)
    environment = {"BASH_ENV": "/root/trap", "KILL_AT": str(kill_at), "AMIGEN_NO_KERNEL": "1"}
    return subprocess.Popen(
        chroot(node.root, "bash", "/root/script.sh"),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_all_in(root: Path) -> None:
    """SIGKILL to every process in the root, as a machine that loses its power."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "root").readlink() == root:
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue  # it ended meanwhile


@pytest.fixture
def undisturbed(node: Node, tmp_path: Path) -> tuple[str, int]:
    """What a run that nothing disturbs leaves, and how many commands it has."""
    with fresh_node(node.platform, tmp_path / "undisturbed") as other:
        process = start(other, other.plan(**SPEC), 0)
        process.communicate(timeout=600)
        assert process.returncode == 0
        count = int(other.read("/root/count"))
        (other.root / "root/count").unlink()
        return other.run(INVENTORY), count


def ends_the_same(victim: Node, wanted: str, when: str) -> None:
    """Nothing partial now, and after one more run what an undisturbed one leaves."""
    plan = victim.plan(**SPEC)
    whole = [path for path in partial_files(victim, plan) if not path.endswith(".amigen-new")]
    assert whole == [], when
    done = victim.bootstrap(plan)
    assert done.returncode == 0, f"{when}:\n{done.stdout}"
    assert partial_files(victim, plan) == [], when
    assert victim.run(INVENTORY) == wanted, when


@pytest.mark.timeout(3600)
def test_killed_anywhere_the_next_run_ends_the_same(node: Node, undisturbed: tuple[str, int], tmp_path: Path) -> None:
    """SIGKILL between two commands at 14 points spread over the run; then one run: the same files, packages, units."""
    wanted, count = undisturbed
    assert count > 100
    for point in range(14):
        kill_at = 1 + count * point // 14
        with fresh_node(node.platform, tmp_path / f"kill{point}") as victim:
            process = start(victim, victim.plan(**SPEC), kill_at)
            process.communicate(timeout=600)
            assert process.returncode == -signal.SIGKILL
            ends_the_same(victim, wanted, f"killed at command {kill_at} of {count}")


@pytest.mark.timeout(3600)
def test_killed_in_the_installation_the_next_run_ends_the_same(
    node: Node, undisturbed: tuple[str, int], tmp_path: Path
) -> None:
    """Six times, at a moment while the package manager works, or, on a quick machine, right after."""
    wanted, _count = undisturbed
    for delay in (0.1, 0.4, 0.8, 1.3, 2.0, 3.0):
        with fresh_node(node.platform, tmp_path / f"kill{delay}") as victim:
            process = start(victim, victim.plan(**SPEC), -1)
            assert process.stdout is not None
            while line := process.stdout.readline():
                if b"amigen: installing ipvsadm" in line:
                    break
            time.sleep(delay)
            kill_all_in(victim.root)
            process.communicate(timeout=600)
            ends_the_same(victim, wanted, f"killed {delay} s into the installation")


@contextmanager
def small_disk(platform: str, tmp_path: Path) -> Iterator[Node]:
    """A root on a disk of its own, to fill up."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,nr_inodes=0", "tmpfs", str(place)], check=True)
    try:
        with fresh_node(platform, place, in_memory=False) as node:
            yield node
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def only_free(node: Node, pages: int) -> Iterator[None]:
    """So many pages are free on the node's disk."""
    filler = node.root / "filler"
    there = os.statvfs(node.root)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(there.f_bavail * there.f_frsize - pages * PAGE, PAGE))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("platform", ["ubuntu-24.04", "al2023"])
def test_a_full_disk_at_each_write(platform: str, tmp_path: Path) -> None:
    """A little more room at each run: it ends clearly at the next write and leaves nothing half-done."""
    with small_disk(platform, tmp_path) as node:
        plan = node.plan(**SPEC)
        failed: list[str] = []
        node.put_script(node.plan(**SPEC, packageSources={"timeoutSeconds": 60}))
        for pages in (0, 64):
            with only_free(node, pages):
                done = node.run_again()
            assert done.returncode == 1
            assert last_line(done).startswith("amigen: FAILED: ")
            failed.append(last_line(done))
            assert partial_files(node, plan) == []
        # With the package there, what is left are the small writes.
        node.run("dnf -y install ipvsadm || { apt-get update && apt-get install -y ipvsadm; }")
        node.put_script(plan)
        for run in range(60):
            # As much as nothing, a page, two, ...: what earlier runs wrote stays, so each gets a little further.
            with only_free(node, run % 4):
                done = node.run_again()
            assert partial_files(node, plan) == []
            if done.returncode == 0:
                break
            assert last_line(done).startswith("amigen: FAILED: ")
            failed.append(last_line(done))
        assert len({line for line in failed if "cannot write" in line or "cannot make" in line}) >= 3, failed
        done = node.bootstrap(plan)
        assert done.returncode == 0, done.stdout
        assert partial_files(node, plan) == []


def test_a_read_only_root_is_said(node: Node) -> None:
    """Nothing can be written: one clear line, and nothing was changed."""
    plan = node.plan(**SPEC)
    node.put_script(plan)
    subprocess.run(["mount", "--bind", str(node.root), str(node.root)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(node.root)], check=True)
        done = node.run_again()
    finally:
        subprocess.run(["umount", "--lazy", str(node.root)], check=True)
    assert done.returncode == 1
    assert last_line(done).startswith("amigen: FAILED: cannot make /run/amigen and /var/lib/amigen: ")
    assert "read-only" in last_line(done)


def test_tmp_may_be_noexec(node: Node) -> None:
    """Hooks and package managers run all the same."""
    tmp = node.root / "tmp"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,nosuid", "tmpfs", str(tmp)], check=True)
    try:
        done = node.bootstrap(node.plan(**SPEC))
    finally:
        subprocess.run(["umount", "--lazy", str(tmp)], check=True)
    assert done.returncode == 0, done.stdout
    assert node.read("/root/order").strip() == b"/usr/sbin/ipvsadm"


@pytest.mark.parametrize("user_data", [True, False], ids=["user data", "provisioner"])
def test_without_root_it_says_so(node: Node, user_data: bool) -> None:
    """A user without rights, on a machine without sudo."""
    script = node.root / "tmp/script.sh"
    script.write_text(bootstrap_script(node.plan(**SPEC), user_data=user_data))
    script.chmod(0o644)
    done = node.run_as("nobody", "bash", "/tmp/script.sh")
    assert done.returncode == 1
    assert "root" in last_line(done)
    assert not (node.root / "etc/modules-load.d/ipvs.conf").exists()


def test_a_kernel_that_is_installed_afterwards_has_the_modules(tmp_path: Path) -> None:
    """A real kernel package comes later: its modules are looked up, and the run has nothing to do."""
    with fresh_node("ubuntu-24.04", tmp_path) as node:
        plan = node.plan(**SPEC)
        assert node.bootstrap(plan).returncode == 0
        install = "apt-get install -y --no-install-recommends linux-image-cloud-amd64 2>&1 | tail -n 3; ls /lib/modules"
        assert "cloud-amd64" in node.run(install)
        assert last_line(node.bootstrap(plan)).startswith("amigen: nothing to do")
        node.run("rm /lib/modules/*/kernel/net/netfilter/ipvs/ip_vs_lc.ko*")
        done = node.bootstrap(plan)
        assert done.returncode == 1
        assert "ip_vs_lc" in last_line(done)
        assert "linux-image-" in last_line(done)
