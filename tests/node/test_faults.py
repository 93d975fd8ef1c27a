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
KILLS = 20
PAGE = 4096


def partial_files(node: Node, plan: ImagePlan) -> list[str]:
    """Files of the plan that are there and not what they should be, and temporary files that were left."""
    files = [step for step in plan.steps if isinstance(step, WriteFile)]
    broken = [f.path for f in files if (node.root / f.path[1:]).exists() and node.read(f.path) != f.content]
    return broken + [str(path) for path in (node.root / "etc").rglob("*.amigen-new")]


@pytest.fixture
def undisturbed(node: Node, tmp_path: Path) -> tuple[str, float]:
    """What a run that nothing disturbs leaves, and the seconds it took."""
    with fresh_node(node.platform, tmp_path / "undisturbed") as other:
        started = time.monotonic()
        assert other.bootstrap(other.plan(**SPEC)).returncode == 0
        return other.run(INVENTORY), time.monotonic() - started


def start(node: Node, plan: ImagePlan) -> subprocess.Popen[bytes]:
    """The script in a process group of its own."""
    node.put_script(plan)
    return subprocess.Popen(
        chroot(node.root, "bash", "/root/script.sh"),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "AMIGEN_NO_KERNEL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
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


@pytest.mark.timeout(3600)
def test_killed_anywhere_the_next_run_ends_the_same(node: Node, undisturbed: tuple[str, float], tmp_path: Path) -> None:
    """SIGKILL at 20 points spread over the run; then one run: the same files, packages and units, nothing partial."""
    wanted, seconds = undisturbed
    plan = node.plan(**SPEC)
    interrupted = 0
    for point in range(KILLS):
        with fresh_node(node.platform, tmp_path / f"kill{point}") as victim:
            process = start(victim, plan)
            try:
                process.wait(timeout=seconds * (point + 0.5) / KILLS)
            except subprocess.TimeoutExpired:
                interrupted += 1
                kill_all_in(victim.root)
            process.wait()
            assert partial_files(victim, plan) == [] or interrupted
            done = victim.bootstrap(plan)
            assert done.returncode == 0, f"killed at point {point}:\n{done.stdout}"
            assert partial_files(victim, plan) == []
            assert victim.run(INVENTORY) == wanted, f"killed at point {point}"
    # Runs differ in length; that most were cut is what makes this a test.
    assert interrupted > KILLS // 2


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
