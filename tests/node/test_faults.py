"""Faults on the node, in throw-away roots with the real package managers and the rendered scripts unchanged.

What needs a kernel of its own is in `test_gate_vm.py`; locks and the network are in `test_waiting.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from amigen.checks.model import RELEASE_PATH, InstallGate, RunHook, WriteFile
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from tests.node.conftest import Node, fresh_node
from tests.node.test_roots import INVENTORY, last_line
from tests.testbed.roots import chroot

pytestmark = pytest.mark.slow

# Takes three pages of the disk where it is told to.
HOOK_SCRIPT = "command -v ipvsadm > /root/order; test ! -e /root/greedy || head -c 8192 /dev/zero >> /root/order"
SPEC: dict[str, Any] = {
    "gate": True,
    "kubeProxy": {"ipvs": {"scheduler": "lc", "connTabBits": 16}},
    "sysctls": {"net.core.somaxconn": 4096},
    "files": [{"path": f"/etc/app/{n}.conf", "content": f"{n}\n" * 900, "mode": "0640"} for n in range(3)],
    "hooks": {"after": [{"name": "last", "script": HOOK_SCRIPT}]},
}
PAGE = 4096
HOOK, STAMP = "/usr/local/lib/amigen/hooks/last", "/var/lib/amigen/hooks/last.sha256"


def files_of(plan: ImagePlan) -> dict[str, bytes]:
    """Every file that a run of the plan writes, with its content; not release.json and the records of them."""
    gate = next(step for step in plan.steps if isinstance(step, InstallGate))
    files = [*gate.all_files, *(step for step in plan.steps if isinstance(step, WriteFile))]
    [hook] = (step.script.encode() for step in plan.steps if isinstance(step, RunHook))
    stamp = f"{hashlib.sha256(hook).hexdigest()}\n".encode()
    return {**{file.path: file.content for file in files}, HOOK: hook, STAMP: stamp}


def partial_files(node: Node, plan: ImagePlan) -> list[str]:
    """Files of the plan that are there and not what they should be, and temporary files that were left."""
    there = {path: node.read(path) for path in files_of(plan) if (node.root / path[1:]).exists()}
    broken = [path for path, content in there.items() if content != files_of(plan)[path]]
    if (node.root / RELEASE_PATH[1:]).exists():
        try:
            release = json.loads(node.read(RELEASE_PATH))
        except ValueError:
            release = {}
        if not {"digest", "packages", "time"} <= {*release}:
            broken.append(RELEASE_PATH)
    return broken + temporary_files(node)


def temporary_files(node: Node) -> list[str]:
    places = [node.root / place for place in ("etc", "usr/local/lib", "var/lib/amigen")]
    return [str(path) for place in places for path in place.rglob("*.new")]


# Sourced by bash before the script, which stays as it is rendered: counts its commands, and ends all of it at one.
TRAP = """\
unset BASH_ENV
count=0
set -T
trap 'if ((++count == KILL_AT)); then kill -KILL 0; fi; ((KILL_AT)) || printf %s "$count" >|/root/count' DEBUG
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


def processes_in(root: Path) -> dict[int, str]:
    """The processes whose root is this one, with their command lines; `timeout` and bash included."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "root").readlink() == root:
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
    return found


def signal_all_in(root: Path, number: signal.Signals) -> dict[int, str]:
    """The signal to all of them, also to those that they start meanwhile; what they were."""
    reached: dict[int, str] = {}
    while new := {pid: line for pid, line in processes_in(root).items() if pid not in reached and line}:
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        reached |= new
    return reached


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
    assert sorted(partial_files(victim, plan)) == sorted(temporary_files(victim)), when
    done = victim.bootstrap(plan)
    words = victim.root / "run/amigen/packages.log"
    assert done.returncode == 0, f"{when}:\n{done.stdout}\n{words.read_text() if words.exists() else ''}"
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


# Of each family's own programs, not of the `timeout` around them.
AT_WORK = r"^(\S*/)?(apt-get|dpkg|dpkg-deb|python3 \S*/dnf|rpm) "
# When a command line or a file is seen, and so many seconds later. The file is the package's, under its temporary name.
MOMENTS = {
    "ubuntu-24.04": [
        ("apt-get .* update", 0.0),
        ("apt-get .* update", 1.0),
        ("apt-get .* install", 0.0),
        ("apt-get .* install", 0.3),
        ("dpkg .*--unpack|dpkg-deb ", 0.0),
        ("/usr/sbin/ipvsadm*", 0.0),
    ],
    "al2023": [*((" /usr/bin/dnf ", delay) for delay in (0.0, 0.2, 0.4, 0.6, 0.8)), ("/usr/sbin/ipvsadm*", 0.0)],
}


def seen(root: Path, pattern: str) -> bool:
    if pattern.startswith("/"):
        return any(root.glob(pattern[1:]))
    return any(re.match(AT_WORK, line) and re.search(pattern, line) for line in processes_in(root).values())


def killed_at(victim: Node, pattern: str, delay: float) -> list[str]:
    """The package manager's processes that were killed; none where it was over too soon."""
    process = start(victim, victim.plan(**SPEC), -1)
    while process.poll() is None and not seen(victim.root, pattern):
        pass
    time.sleep(delay)
    # First all are stopped, so that what is seen at work is what is killed.
    stopped = signal_all_in(victim.root, signal.SIGSTOP)
    signal_all_in(victim.root, signal.SIGKILL)
    process.communicate(timeout=600)
    return [line for line in stopped.values() if re.match(AT_WORK, line)]


@pytest.mark.timeout(3600)
def test_killed_in_the_installation_the_next_run_ends_the_same(
    node: Node, undisturbed: tuple[str, int], tmp_path: Path
) -> None:
    """Six times, each while apt-get, dpkg or dnf works in the root: on a quick machine, earlier."""
    wanted, _count = undisturbed
    hits = []
    for number, (pattern, delay) in enumerate(MOMENTS[node.platform]):
        # On a busy machine it may be over before it is seen.
        for attempt in range(15):
            with fresh_node(node.platform, tmp_path / f"kill{number}.{attempt}") as victim:
                if hit := killed_at(victim, pattern, delay * 0.6**attempt):
                    hits.append(hit)
                    ends_the_same(victim, wanted, f"killed: {hit}")
                    break
    print("\n".join(map(str, hits)))
    assert len(hits) == len(MOMENTS[node.platform])


@contextmanager
def small_disk(platform: str, tmp_path: Path) -> Iterator[Node]:
    """A root on a disk of its own, to fill up."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800m,nr_inodes=0", "tmpfs", str(place)], check=True)
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


def run_on_full_disk(node: Node, pages: int = 0, edited: list[str] | None = None) -> str:
    """The last line of a run that finds no more than so many pages; by hand, only these files were edited."""
    with only_free(node, pages):
        done = node.run_again()
    assert done.returncode == 1, done.stdout
    assert partial_files(node, node.plan(**SPEC)) == (edited or [])
    return last_line(done)


@pytest.mark.parametrize("platform", ["ubuntu-24.04", "al2023"])
def test_a_full_disk_at_each_write(platform: str, tmp_path: Path) -> None:
    """It ends clearly at that write and leaves nothing half-done; with room, the next run finishes.

    Full between the download and the installation of a package: `test_waiting.py`.
    """
    with small_disk(platform, tmp_path) as node:
        plan = node.plan(**SPEC)
        node.put_script(plan)
        done = node.run_again()
        assert done.returncode == 0, done.stdout
        # All is there; what is taken away is the first that the next run writes.
        for path in [*files_of(plan), RELEASE_PATH]:
            (node.root / path[1:]).unlink()
            # The first change removes it, which would make room.
            (node.root / RELEASE_PATH[1:]).unlink(missing_ok=True)
            # A hook runs where its stamp is gone, and its file is made anew; this takes two pages for a while.
            if path == HOOK:
                (node.root / STAMP[1:]).unlink()
            if path == STAMP:
                (node.root / "root/order").unlink()
                (node.root / "root/greedy").touch()
            said = run_on_full_disk(node, 3 if path == STAMP else 0)
            (node.root / "root/greedy").unlink(missing_ok=True)
            assert re.match(f"amigen: FAILED: (cannot write|writing) {path}: ", said), said
            assert not (node.root / path[1:]).exists()
            done = node.run_again()
            assert done.returncode == 0, done.stdout
            assert partial_files(node, plan) == []
        # The copy of a file of others.
        plain = node.root / "etc/app/0.conf"
        plain.write_text("by hand\n")
        (node.root / RELEASE_PATH[1:]).unlink()
        said = run_on_full_disk(node, 0, ["/etc/app/0.conf"])
        assert said == "amigen: FAILED: cannot keep a copy of /etc/app/0.conf: is the disk full?"
        assert plain.read_text() == "by hand\n"
        assert list((node.root / "var/lib/amigen/kept").rglob("0.conf*")) == []
        assert node.run_again().returncode == 0
        assert node.read("/var/lib/amigen/kept/etc/app/0.conf") == b"by hand\n"
        # The next replacement keeps its own copy beside it.
        others = [{**file, "content": "other\n"} for file in SPEC["files"]]
        assert node.bootstrap(node.plan(**{**SPEC, "files": others})).returncode == 0
        kept = node.root / "var/lib/amigen/kept/etc/app"
        assert sorted(path.name for path in kept.iterdir()) == ["0.conf", "0.conf.~1~", "1.conf", "2.conf"]
        assert (kept / "0.conf.~1~").read_text() == "by hand\n"


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
    assert last_line(done).startswith("amigen: FAILED: cannot make /var/lib/amigen: ")
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
        assert last_line(node.bootstrap(plan)).startswith("amigen: ready: 0 changes")
        node.run("rm /lib/modules/*/kernel/net/netfilter/ipvs/ip_vs_lc.ko*")
        done = node.bootstrap(plan)
        assert done.returncode == 1
        [kernel] = node.run("ls /lib/modules").split()
        lacks = rf"the kernel {kernel} lacks kernel/\S*/ip_vs_lc\.ko\S*, which ip_vs_lc needs"
        wanted = f"amigen: FAILED: {lacks}: the package linux-image-{kernel} should have it"
        assert re.fullmatch(wanted, last_line(done)), last_line(done)
