"""The rendered scripts, unchanged, with the real apt and the real dnf (in the stand-in of AL2023)."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import time
from pathlib import Path

import pytest

from amigen.plan.model import InstallGate, WriteFile
from amigen.render.script import bootstrap_script
from tests.node.conftest import Node, fresh_node

pytestmark = pytest.mark.slow

RICH = {
    "gate": True,
    "kubeProxy": {"ipvs": {"scheduler": "lc", "connTabBits": 16}},
    "sysctls": {"net.core.somaxconn": 4096},
    "files": [
        {"path": "/etc/app/plain.conf", "content": 'it\'s $HOME, `x` and "y"\n', "mode": "0640"},
        {"path": "/etc/app/binary", "contentBase64": base64.b64encode(bytes(range(256))).decode(), "owner": "daemon"},
    ],
    "hooks": {
        "before": [{"name": "first", "script": "test ! -e /usr/sbin/ipvsadm; echo first >> /root/order"}],
        "after": [{"name": "last", "script": "#!/bin/sh\ncommand -v ipvsadm; echo last >> /root/order\n"}],
    },
}


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_everything_of_the_plan_is_there(node: Node) -> None:
    """Packages, files with their owners and modes, hooks in order, release and gate."""
    plan = node.plan(**RICH)
    done = node.bootstrap(plan)
    assert done.returncode == 0, done.stdout
    assert last_line(done).startswith("amigen: ready: ")
    files = [step for step in plan.steps if isinstance(step, WriteFile)]
    files += [file for step in plan.steps if isinstance(step, InstallGate) for file in step.all_files]
    for file in files:
        assert node.read(file.path) == file.content, file.path
        assert stat.S_IMODE((node.root / file.path[1:]).stat().st_mode) == int(file.mode, 8), file.path
    assert (node.root / "etc/app/binary").stat().st_uid == int(node.run("id -u daemon"))
    assert node.read("/root/order") == b"first\nlast\n"
    release = json.loads(node.read("/etc/amigen/release.json"))
    assert release["digest"] == plan.digest
    assert release["packages"]["ipvsadm"].startswith(("1.31", "1:1.31"))
    wanted = node.root / "etc/systemd/system/multi-user.target.wants/amigen-ready.service"
    assert wanted.readlink().name == "amigen-ready.service"


def test_the_second_run_changes_nothing_and_calls_no_package_manager(node: Node) -> None:
    """Not one inode changes, and package managers that would leave a trace are not called."""
    plan = node.plan(**RICH)
    assert node.bootstrap(plan).returncode == 0
    trap = "#!/bin/sh\necho called >> /root/called\nexit 1\n"
    for name in ("apt-get", "apt", "dnf", "yum"):
        (node.root / "usr/local/bin" / name).write_text(trap)
        (node.root / "usr/local/bin" / name).chmod(0o755)
    snapshot = "find /etc /usr /var -xdev -newer /root/mark ! -path '/var/lib/rpm*' ! -path '/var/lib/dpkg/lock*'"
    node.run("touch -d '+1 second' /root/mark; sleep 1.2")
    done = node.bootstrap(plan)
    assert done.returncode == 0
    assert last_line(done).startswith("amigen: nothing to do: 1 package, ")
    assert not (node.root / "root/called").exists()
    assert node.run(snapshot) == ""


# Files with their content, mode and owner, links with their targets; release.json, and its line in the list of what
# amigen wrote, without the time in it.
INVENTORY = r"""
cd /
find etc usr var/lib/amigen root/order -xdev ! -type d -printf '%p %M %U:%G %l\n' | sort
find etc usr var/lib/amigen root/order -xdev -type f ! -path etc/ld.so.cache ! -path etc/amigen/release.json \
  ! -path var/lib/amigen/written -exec sha256sum {} + | sort
grep -v '"time"' etc/amigen/release.json
grep -v release.json var/lib/amigen/written
dpkg-query -W 2>/dev/null; rpm -qa 2>/dev/null | sort
systemctl list-unit-files --state=enabled --no-legend
"""


def test_the_baked_root_equals_the_bootstrapped_one(node: Node, tmp_path: Path) -> None:
    """Two roots, one by the image build's script and one by user data: the same files, packages and units."""
    plan = node.plan(**RICH)
    assert node.bootstrap(plan).returncode == 0
    with fresh_node(node.platform, tmp_path) as baked:
        assert baked.run_script(bootstrap_script(plan, user_data=False)).returncode == 0
        inventory = baked.run(INVENTORY)
        assert "etc/modules-load.d/ipvs.conf" in inventory
        assert "ipvsadm" in inventory
        assert "amigen-ready.service" in inventory
        assert inventory == node.run(INVENTORY)
        # And user data on the baked one is a no-op.
        assert last_line(baked.bootstrap(plan)).startswith("amigen: nothing to do")


def test_hygiene_leaves_what_was_baked_and_removes_the_builder(node: Node) -> None:
    """After the hygiene step, user data still finds everything; keys, ids, logs and caches are gone."""
    plan = node.plan(**RICH)
    assert node.bootstrap(plan).returncode == 0
    node.run(
        "mkdir -p /root/.ssh /etc/ssh /var/lib/cloud/instance; echo k > /root/.ssh/authorized_keys;"
        "echo k > /etc/ssh/ssh_host_ed25519_key; echo 0123 > /etc/machine-id; echo l > /var/log/x.log;"
        "echo t > /tmp/t; echo h > /root/.bash_history; echo s > /var/lib/systemd/random-seed"
    )
    done = node.clean(plan)
    assert done.returncode == 0, done.stdout
    assert node.read("/etc/machine-id") == b""
    gone = ["root/.ssh/authorized_keys", "etc/ssh/ssh_host_ed25519_key", "tmp/t", "root/.bash_history"]
    gone += ["var/lib/systemd/random-seed", "var/lib/cloud/instance"]
    assert [path for path in gone if (node.root / path).exists()] == []
    logs_and_caches = "find /var/log -type f -size +0; find /var/lib/apt/lists -name '*_*'; find /var/cache/dnf -type f"
    assert node.run(f"{{ {logs_and_caches}; }} 2>/dev/null") == ""
    assert last_line(node.bootstrap(plan)).startswith("amigen: nothing to do")


def test_a_file_of_somebody_else_is_kept(node: Node) -> None:
    """An admin's own files of the same names are kept, and modules-load.d's stays in effect."""
    own = {"etc/modules-load.d/ipvs.conf": b"br_netfilter\n", "etc/sysctl.d/90-amigen.conf": b"kernel.panic=1\n"}
    for path, content in own.items():
        (node.root / path).parent.mkdir(parents=True, exist_ok=True)
        (node.root / path).write_bytes(content)
    assert node.bootstrap(node.plan(**RICH)).returncode == 0
    assert node.read("/etc/modules-load.d/ipvs.before-amigen.conf") == b"br_netfilter\n"
    assert node.read("/var/lib/amigen/kept/etc/sysctl.d/90-amigen.conf") == b"kernel.panic=1\n"


def test_an_edited_file_is_kept_and_our_own_older_one_is_not(node: Node) -> None:
    """A changed spec replaces what amigen wrote without a copy; an edit by hand is kept."""
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "1\n"}])).returncode == 0
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "2\n"}])).returncode == 0
    assert not (node.root / "var/lib/amigen/kept/etc/a.conf").exists()
    (node.root / "etc/a.conf").write_text("by hand\n")
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "3\n"}])).returncode == 0
    assert node.read("/var/lib/amigen/kept/etc/a.conf") == b"by hand\n"
    assert node.read("/etc/a.conf") == b"3\n"


def test_another_connection_table_size_is_refused(node: Node) -> None:
    """Two files that set conn_tab_bits differently: the run stops and names the file."""
    (node.root / "etc/modprobe.d").mkdir(exist_ok=True)
    (node.root / "etc/modprobe.d/local.conf").write_text("options ip_vs conn_tab_bits=14\n")
    done = node.bootstrap(node.plan(**RICH))
    assert done.returncode == 1
    found = "/etc/modprobe.d/local.conf sets conn_tab_bits=14 for ip_vs"
    assert last_line(done) == f"amigen: FAILED: {found}, and the spec wants 16: remove one of them"


def test_a_failing_hook_stops_the_run_and_says_so(node: Node) -> None:
    """Its exit code and name are in the last line, and nothing after it was done."""
    done = node.bootstrap(node.plan(hooks={"before": [{"name": "broken", "script": "exit 7"}]}))
    assert done.returncode == 1
    assert last_line(done) == "amigen: FAILED: the hook broken ended with code 7"
    assert not (node.root / "etc/amigen/release.json").exists()


def test_a_hook_runs_once_per_text(node: Node) -> None:
    """`once` runs again only when its text changes; `always` runs at every bootstrap."""

    def hooks(word: str) -> dict[str, object]:
        once = {"name": "once", "script": f"echo {word} >> /root/once"}
        always = {"name": "always", "script": "echo x >> /root/always", "run": "always"}
        return {"hooks": {"after": [once, always]}}

    written = []
    for word in ("a", "a", "b"):
        assert node.bootstrap(node.plan(**hooks(word))).returncode == 0
        written.append((node.root / "usr/local/lib/amigen/hooks/always").stat().st_ino)
    assert len({*written}) == 1, "the file of a hook that did not change is left alone"
    assert node.read("/root/once") == b"a\nb\n"
    assert node.read("/root/always") == b"x\nx\nx\n"


def test_an_unknown_package_fails_within_its_bound(node: Node) -> None:
    """It is tried again until the time is up; the last line names the package and the package manager's reason."""
    started = time.monotonic()
    plan = node.plan(packages=[{"name": "no-such-package"}], packageSources={"timeoutSeconds": 60})
    done = node.bootstrap(plan)
    assert done.returncode == 1
    assert "cannot install" in last_line(done)
    assert "no-such-package" in last_line(done)
    assert "no message" not in last_line(done)
    assert time.monotonic() - started < 200


def test_a_package_manager_without_an_end_is_stopped_and_said(node: Node) -> None:
    """With a stand-in for it that says half a line and hangs: proves the bound and the words, nothing of apt or dnf."""
    program = node.root / "usr/bin" / ("dnf" if node.plan().platform == "al2023" else "apt-get")
    program.rename(program.with_suffix(".real"))
    program.write_text("#!/bin/sh\nprintf 'Reading package lists...'\nexec sleep 600\n")
    program.chmod(0o755)
    done = node.bootstrap(node.plan(packageSources={"timeoutSeconds": 60}))
    assert done.returncode == 1
    assert "  | Reading package lists..." in done.stdout.splitlines()
    why = "it was still at work when its time was over"
    assert last_line(done) == f"amigen: FAILED: cannot install ipvsadm within 60 s: {why}"


def test_a_pinned_version_that_is_not_there_fails(node: Node) -> None:
    """A version is a promise: another one is not taken in its place."""
    plan = node.plan(packages=[{"name": "ipvsadm", "version": "9.99"}], packageSources={"timeoutSeconds": 60})
    done = node.bootstrap(plan)
    assert done.returncode == 1
    assert "ipvsadm=9.99" in last_line(done)


def test_the_wrong_platform_is_refused(node: Node) -> None:
    """A script for another system changes nothing here."""
    other = "al2023" if node.platform != "al2023" else "ubuntu-24.04"
    done = node.bootstrap(Node(node.root, other).plan())
    assert done.returncode == 1
    assert "this script is for" in last_line(done)
    assert not (node.root / "etc/modules-load.d/ipvs.conf").exists()


KERNEL = "lib/modules/6.1.0-test"


def install_kernel(node: Node, *, without: str = "") -> None:
    """A kernel as its package leaves it: module files, modules.dep, and one module built in."""
    folder = node.root / KERNEL / "kernel/net"
    folder.mkdir(parents=True)
    plan = node.plan()
    modules = [check.module for step in plan.steps for check in step.checks if hasattr(check, "module")]
    lines = []
    for module in dict.fromkeys(modules):
        if module in ("nf_conntrack", without):
            continue
        (folder / f"{module}.ko.xz").touch()
        lines.append(f"kernel/net/{module}.ko.xz: kernel/net/ip_vs.ko.xz\n")
    (node.root / KERNEL / "modules.dep").write_text("".join(lines))
    (node.root / KERNEL / "modules.builtin").write_text("kernel/net/nf_conntrack.ko\n")


def test_every_installed_kernel_is_looked_at(node: Node) -> None:
    """A kernel that has all modules, one of them built in, is accepted without loading anything."""
    install_kernel(node)
    assert node.bootstrap(node.plan()).returncode == 0


def test_a_module_that_a_kernel_lacks_is_named(node: Node) -> None:
    """The kernel, the module, and where to look for it are in the last line."""
    install_kernel(node, without="ip_vs_sed")
    done = node.bootstrap(node.plan())
    assert done.returncode == 1
    assert "the kernel 6.1.0-test has no module ip_vs_sed: " in last_line(done)


def test_a_dependency_that_a_kernel_lacks_is_named(node: Node) -> None:
    """modules.dep names a file that is not there: found without loading."""
    install_kernel(node)
    (node.root / KERNEL / "kernel/net/ip_vs.ko.xz").unlink()
    done = node.bootstrap(node.plan())
    assert done.returncode == 1
    assert "lacks kernel/net/ip_vs.ko.xz" in last_line(done)


def test_the_release_names_the_spec_by_its_digest(node: Node) -> None:
    """The digest on the node is that of the spec's content."""
    plan = node.plan()
    assert node.bootstrap(plan).returncode == 0
    assert json.loads(node.read("/etc/amigen/release.json"))["digest"] == plan.digest
    assert len(plan.digest) == hashlib.sha256().digest_size * 2
