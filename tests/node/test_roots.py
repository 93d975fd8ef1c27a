"""The rendered scripts, unchanged, with the real apt and the real dnf (in the stand-in of AL2023)."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
from pathlib import Path

import pytest

from amigen.checks.hygiene import LEFTOVERS
from amigen.checks.model import InstallGate, WriteFile
from amigen.facts import Wanted, gather_script, read_facts
from amigen.scripts.bootstrap import bootstrap_script
from amigen.verify.cause import evidence_script
from tests.node.conftest import Node, fresh_node
from tests.testbed.dnf_standin import REPOSITORY, make_rpm

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
    assert last_line(done) == "amigen: ready: 0 changes"
    assert not (node.root / "root/called").exists()
    assert node.run(snapshot) == ""


# Files with their content, mode and owner, links with their targets; release.json without its time. Not what rpm has
# begun to write, `NAME;HEX` (lib/fsm.c): killed in there, it leaves that, and no later run removes it.
INVENTORY = r"""
cd /
find etc usr var/lib/amigen root/order -xdev ! -type d ! -name '*;????????' -printf '%p %M %U:%G %l\n' | sort
find etc usr var/lib/amigen root/order -xdev -type f ! -name '*;????????' ! -path etc/ld.so.cache \
  ! -path etc/amigen/release.json -exec sha256sum {} + | sort
grep -v '"time"' etc/amigen/release.json
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
        assert last_line(baked.bootstrap(plan)).startswith("amigen: ready: 0 changes")


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
    # The release is of the node, and not of its image.
    said = node.bootstrap(plan).stdout.splitlines()
    assert said == ["amigen: writing /etc/amigen/release.json", "amigen: ready: 1 changes"]


# Check -> what a builder may have left, each in a file with a line in it.
LEFT = {
    "device-identity": """etc/iscsi/initiatorname.iscsi etc/nvme/hostnqn etc/nvme/hostid var/lib/amazon/ssm/registration
        var/lib/NetworkManager/secret_key var/lib/amazon/ssm/Vault/Store/RegistrationKey
        var/lib/snapd/device/private-keys-v1/key etc/lvm/devices/system.devices var/lib/yum/uuid
        etc/udev/rules.d/70-persistent-net.rules""",
    "kubelet-state": """var/lib/kubelet/pki/kubelet.key var/lib/kubelet/pods/1/etc-hosts var/lib/kubelet/kubeconfig
        var/lib/kubelet/cpu_manager_state var/lib/containerd/io.containerd.runtime.v2.task/k8s.io/1/config.json""",
    "leases": "var/lib/dhcp/dhclient.leases var/lib/dhclient/dhclient--eth0.lease var/lib/NetworkManager/a.lease",
    "dumps-and-stamps": """var/crash/a.crash var/lib/systemd/coredump/core.a var/mail/root
        var/lib/systemd/timers/stamp-apt-daily.timer""",
    "account-backups": "etc/passwd- etc/shadow- etc/gshadow-",
}


def test_each_leftover_is_found_and_removed(node: Node) -> None:
    """Its check is red for each file of the builder before the hygiene step, and green after it."""
    plan = node.plan()
    for files in LEFT.values():
        for path in files.split():
            (node.root / path).parent.mkdir(parents=True, exist_ok=True)
            (node.root / path).write_text("InitiatorName=iqn.2005-03.org.open-iscsi:1\n")
    before = {what: node.run(f"cd / && {LEFTOVERS[what][0]}").split() for what in LEFTOVERS}
    assert {what: [path for path in files.split() if path not in before[what]] for what, files in LEFT.items()} == {
        what: [] for what in LEFT
    }
    assert node.clean(plan).returncode == 0
    after = {what: node.run(f"cd / && {LEFTOVERS[what][0]}").split() for what in LEFT}
    assert after == {what: [] for what in LEFT}


def test_a_file_of_somebody_else_is_kept(node: Node) -> None:
    """An admin's own modules-load.d/ipvs.conf stays in effect, and all of them do."""
    file = node.root / "etc/modules-load.d/ipvs.conf"
    for number, name in enumerate(("br_netfilter", "overlay"), start=1):
        file.write_text(f"# for amigen nodes\n{name}\n")
        done = node.bootstrap(node.plan(**RICH))
        assert done.returncode == 0
        assert "\nrenamed '/etc/modules-load.d/ipvs.conf' -> " in done.stdout
        kept = sorted(path.read_text().split()[-1] for path in file.parent.glob("ipvs.before-amigen*"))
        assert kept == ["br_netfilter", "overlay"][:number]
    assert node.read("/etc/modules-load.d/ipvs.before-amigen.conf").endswith(b"\noverlay\n")


def test_each_replaced_file_is_kept(node: Node) -> None:
    """What amigen wrote for an earlier spec, and an edit by hand: numbered copies, the newest without a number."""
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "1\n"}])).returncode == 0
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "2\n"}])).returncode == 0
    (node.root / "etc/a.conf").write_text("by hand\n")
    assert node.bootstrap(node.plan(files=[{"path": "/etc/a.conf", "content": "3\n"}])).returncode == 0
    assert node.read("/var/lib/amigen/kept/etc/a.conf") == b"by hand\n"
    assert node.read("/var/lib/amigen/kept/etc/a.conf.~1~") == b"1\n"
    assert node.read("/etc/a.conf") == b"3\n"


OTHER_SIZES = {
    "options ip_vs conn_tab_bits=14\n": "14",
    "options ip-vs conn_tab_bits=14": "14",
    "options\tip_vs debug=1 \\\n  conn_tab_bits=14 debug=2\n": "14",
    "options ip_vs conn_tab_bits=16\noptions ip_vs conn-tab-bits=17\n": "17",
}
SAME_SIZES = [
    "# options ip_vs conn_tab_bits=14\n",
    "options ip_vs conn_tab_bits=16\n",
    "options ip_vs_x conn_tab_bits=14\n",
    "options ip_vs x_conn_tab_bits=14\n",
]


def test_another_connection_table_size_is_refused(node: Node) -> None:
    """Two files that set conn_tab_bits differently: the run stops and names the file, however modprobe.d writes it."""
    local = node.root / "etc/modprobe.d/local.conf"
    local.parent.mkdir(exist_ok=True)
    for text, found in OTHER_SIZES.items():
        local.write_text(text)
        said = last_line(node.bootstrap(node.plan(**RICH)))
        number = text.rstrip("\n").count("\n") + 1
        assert said == (
            f"amigen: FAILED: /etc/modprobe.d/local.conf:{number} sets conn_tab_bits={found},"
            " the spec wants 16: remove one of them"
        )
    for text in SAME_SIZES:
        local.write_text(text)
        done = node.bootstrap(node.plan(**RICH))
        assert done.returncode == 0, f"{text}: {last_line(done)}"
    # A file hides that of its name in a later folder.
    (node.root / "usr/lib/modprobe.d").mkdir(exist_ok=True)
    (node.root / "usr/lib/modprobe.d/local.conf").write_text("options ip_vs conn_tab_bits=14\n")
    assert last_line(node.bootstrap(node.plan(**RICH))).startswith("amigen: ready: 0 changes")
    local.unlink()
    assert "/lib/modprobe.d/local.conf:1 sets " in last_line(node.bootstrap(node.plan(**RICH)))
    local.symlink_to("/dev/null")
    assert last_line(node.bootstrap(node.plan(**RICH))).startswith("amigen: ready: 0 changes")


def test_a_connection_table_size_of_the_command_line_is_refused(tmp_path: Path) -> None:
    """The kernel takes it from there too; a container or chroot, whose command line is its host's, does not look."""
    with fresh_node("al2023", tmp_path) as node:
        plan = node.plan(**RICH)
        (node.root / "root/cmdline").write_text("root=/dev/vda ro ip_vs.conn_tab_bits=12 quiet\n")
        cmdline = node.root / "proc/cmdline"
        subprocess.run(["mount", "--bind", str(node.root / "root/cmdline"), str(cmdline)], check=True)
        try:
            assert node.bootstrap(plan).returncode == 0
            done = node.bootstrap(plan, AMIGEN_NO_KERNEL="")
        finally:
            subprocess.run(["umount", str(cmdline)], check=True)
        says = "/proc/cmdline:1 sets conn_tab_bits=12"
        assert last_line(done) == (f"amigen: FAILED: {says}, the spec wants 16: remove one of them")


# What systemd-modules-load would skip at boot -> the line that is named, and the rule.
SKIPPED = {
    "blacklist ip_vs\n": "1:blacklist ip_vs",
    "# a comment\nblacklist ip-vs-sed": "2:blacklist ip-vs-sed",
    "  install\tip_vs /bin/false\n": "1:  install\tip_vs /bin/false",
    "alias x y\nblacklist ip_vs_lc # no comment for modprobe\n": "2:blacklist ip_vs_lc # no comment for modprobe",
    # A line goes on after a backslash: the last is named.
    "blacklist \\\n\tip-vs\n": "2:blacklist \tip-vs",
    "install ip_vs_nq \\\n  /bin/false\n": "2:install ip_vs_nq   /bin/false",
}
NOT_SKIPPED = (
    "blacklist ip_vs_other\n#blacklist ip_vs\n",
    "blacklistip_vs\n",
    "options x blacklist ip_vs\n",
    # Of the comment, too.
    "# comment \\\nblacklist ip_vs\n",
    "  # blacklist ip_vs\n",
)


def test_a_module_that_would_not_load_at_boot_is_refused(node: Node) -> None:
    """Blacklisted or with an install line, as libkmod reads it: file and line are said, and the checks agree."""
    local = node.root / "etc/modprobe.d/local.conf"
    local.parent.mkdir(exist_ok=True)
    plan = node.plan()
    for text, found in SKIPPED.items():
        local.write_text(text)
        place = f"/etc/modprobe.d/local.conf:{found}"
        assert last_line(node.bootstrap(plan)) == f"amigen: FAILED: a module would not load at boot: {place}"
        assert skips(node) == [place]
        assert f"skipped {place}\n" in node.run(evidence_script(plan.modules))
    for text in NOT_SKIPPED:
        local.write_text(text)
        assert node.bootstrap(plan).returncode == 0
        assert skips(node) == []
    # A file hides that of its name in a later folder, also where it is masked.
    (node.root / "usr/lib/modprobe.d").mkdir(exist_ok=True)
    (node.root / "usr/lib/modprobe.d/local.conf").write_text("blacklist ip_vs\n")
    assert node.bootstrap(plan).returncode == 0
    local.unlink()
    assert last_line(node.bootstrap(plan)).endswith("/lib/modprobe.d/local.conf:1:blacklist ip_vs")
    local.symlink_to("/dev/null")
    assert node.bootstrap(plan).returncode == 0
    # libkmod reads no folder in it; a link to nowhere hides none of the files behind it.
    (local.parent / "old").mkdir()
    (local.parent / "old/a.conf").write_text("blacklist ip_vs\n")
    (local.parent / "a.conf").symlink_to("/nowhere")
    assert skips(node) == []
    (local.parent / "b.conf").write_text("blacklist ip_vs\n")
    assert skips(node) == ["/etc/modprobe.d/b.conf:1:blacklist ip_vs"]
    (local.parent / "b.conf").unlink()
    # All folders, in libkmod's order.
    for folder in ("usr/lib", "usr/local/lib", "run", "etc"):
        file = node.root / folder / "modprobe.d/other.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("blacklist ip_vs\n")
        place = f"/{folder.removeprefix('usr/lib') or 'lib'}/modprobe.d/other.conf:1:blacklist ip_vs".replace("//", "/")
        assert skips(node) == [place]
    file.unlink()
    node.run("rm /run/modprobe.d/other.conf /usr/local/lib/modprobe.d/other.conf /usr/lib/modprobe.d/other.conf")
    node.run("mkdir -p /etc/systemd/system; ln -s /dev/null /etc/systemd/system/systemd-modules-load.service")
    assert "systemd-modules-load.service is masked" in last_line(node.bootstrap(plan))
    # systemd-modules-load needs no modprobe.
    node.run("rm /etc/systemd/system/systemd-modules-load.service; rm -f /usr/sbin/modprobe /usr/local/*bin/modprobe")
    file.write_text("blacklist ip-vs\n")
    assert skips(node) == ["/etc/modprobe.d/other.conf:1:blacklist ip-vs"]


def skips(node: Node) -> list[str]:
    """What the checks gather, of the same function."""
    wanted = Wanted(modules=tuple(node.plan().modules))
    out = node.run(gather_script(wanted, "token"))
    return sorted({*read_facts(wanted, out.encode(), "token").obstacles.values()})


def test_a_blacklist_of_the_kernel_command_line_is_refused(tmp_path: Path) -> None:
    """`modprobe.blacklist=`; a container or chroot, whose command line is its host's, does not look."""
    with fresh_node("al2023", tmp_path) as node:
        plan = node.plan()
        (node.root / "root/cmdline").write_text("root=/dev/vda ro modprobe.blacklist=ip_vs quiet\n")
        cmdline = node.root / "proc/cmdline"
        subprocess.run(["mount", "--bind", str(node.root / "root/cmdline"), str(cmdline)], check=True)
        try:
            assert node.bootstrap(plan).returncode == 0
            done = node.bootstrap(plan, AMIGEN_NO_KERNEL="")
        finally:
            subprocess.run(["umount", str(cmdline)], check=True)
        assert last_line(done).endswith(": /proc/cmdline:1:modprobe.blacklist=ip_vs")


def test_a_folder_that_a_removed_kernel_left_is_no_kernel(node: Node) -> None:
    """DKMS leaves modules and a modules.dep of its own; other modules of a kernel may lack what they depend on."""
    left = node.root / "lib/modules/5.4.0-removed"
    (left / "updates").mkdir(parents=True)
    (left / "kernel").mkdir()
    (left / "modules.dep").write_text("updates/foo.ko:\n")
    install_kernel(node)
    with (node.root / KERNEL / "modules.dep").open("a") as dep:
        dep.write("extra/other.ko: extra/gone.ko kernel/net/ip_vs.ko.xz\n")
    done = node.bootstrap(node.plan())
    assert done.returncode == 0, done.stdout


def test_a_kernel_without_modules_is_said(tmp_path: Path) -> None:
    """This machine's own kernel is one: what is wrong, and what to do."""
    if Path("/proc/modules").exists():
        pytest.skip("the kernel of this machine has loadable modules")
    with fresh_node("al2023", tmp_path) as node:
        done = node.bootstrap(node.plan(), AMIGEN_NO_KERNEL="")
        assert done.returncode == 1
        assert last_line(done).startswith("amigen: FAILED: cannot load modules: modprobe: ")


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
    assert "the kernel 6.1.0-test lacks ip_vs_sed.ko, which ip_vs_sed needs: " in last_line(done)
    where = {"al2023": "no repository here has it"}
    assert last_line(done).endswith(
        where.get(node.platform, "a kernel such as linux-generic, linux-aws or linux-image-amd64 has it")
    )


def lock_versions(node: Node, tmp_path: Path, *locked: str) -> None:
    """The real plugin versionlock, as the EKS images of Amazon Linux 2023 have it for their kernels."""
    done = subprocess.run(["apt-get", "download", "-q", "dnf-plugins-core"], cwd=tmp_path, check=False)
    if done.returncode:
        pytest.skip("not proven here: the package dnf-plugins-core cannot be had")
    [package] = tmp_path.glob("dnf-plugins-core*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path / "plugins")], check=True)
    for path in ("dnf-plugins/versionlock.py", "dnfpluginscore"):
        path = f"usr/lib/python3/dist-packages/{path}"
        (node.root / path).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", str(tmp_path / "plugins" / path), str(node.root / path)], check=True)
    settings = node.root / "etc/dnf/plugins"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "versionlock.conf").write_text("[main]\nenabled=1\nlocklist=/etc/dnf/plugins/versionlock.list\n")
    (settings / "versionlock.list").write_text("".join(f"{name}-0:6.1.0-1.amzn2023.*\n" for name in locked))
    assert f"{locked[0]}-0:6.1.0" in node.run("dnf -y versionlock list")


@pytest.mark.parametrize("kernel", ["kernel", "kernel6.12"])
def test_a_locked_kernel_stays_and_the_package_that_fits_it_is_named(tmp_path: Path, kernel: str) -> None:
    """By the file in it, of a repository with newer ones; the apt family's is with the real kernel in test_faults."""
    with fresh_node("al2023", tmp_path) as node:
        install_kernel(node)
        module = tmp_path / "ip_vs_sed.ko.xz"
        module.touch()
        repository = node.root / REPOSITORY
        for version in ("6.1.0", "6.1.1"):
            for name in (kernel, f"{kernel}-modules-extra"):
                place = f"/lib/modules/{version}-test/{name}"
                work = tmp_path / f"{name}-{version}"
                make_rpm(work, repository, name=name, version=version, files=[module], to=place)
        subprocess.run(["createrepo_c", "-q", str(repository)], check=True)
        node.run(f"rpm -i --nodeps --justdb /{REPOSITORY}/{kernel}-6.1.0-*.rpm")
        lock_versions(node, tmp_path, kernel)
        assert node.bootstrap(node.plan()).returncode == 0
        assert node.run("rpm -qa --qf '%{NAME}-%{VERSION}\n' | grep kernel") == f"{kernel}-6.1.0\n"
        (node.root / KERNEL / "kernel/net/ip_vs_sed.ko.xz").unlink()
        dep = node.root / KERNEL / "modules.dep"
        dep.write_text("".join(line for line in dep.open() if "ip_vs_sed" not in line))
        done = node.bootstrap(node.plan())
    assert done.returncode == 1
    names = f"{kernel}-6.1.0-1.amzn2023 {kernel}-modules-extra-6.1.0-1.amzn2023"
    says = f"the kernel 6.1.0-test lacks ip_vs_sed.ko, which ip_vs_sed needs: install {names}"
    assert last_line(done) == f"amigen: FAILED: {says}"


def test_the_release_of_dnf_is_recorded_and_stays(tmp_path: Path) -> None:
    """Of /etc/dnf/vars/releasever, else that of system-release; amigen passes no flag and writes no variable."""
    with fresh_node("al2023", tmp_path) as node:
        variable = node.root / "etc/dnf/vars/releasever"
        variable.write_text("2023.6.20241212\n")
        script = bootstrap_script(node.plan(), user_data=True)
        assert "--releasever" not in script
        assert "latest" not in script
        assert node.bootstrap(node.plan()).returncode == 0
        assert json.loads(node.read("/etc/amigen/release.json"))["releasever"] == "2023.6.20241212"
        assert variable.read_text() == "2023.6.20241212\n"
        variable.unlink()
        repository = tmp_path / "other"
        repository.mkdir()
        rpm = make_rpm(tmp_path / "rpm", repository, name="system-release", version="2023.5.20240701", files=[])
        (node.root / "root/system-release.rpm").write_bytes(rpm.read_bytes())
        node.run("rpm -i --nodeps /root/system-release.rpm; rm /etc/amigen/release.json")
        assert node.bootstrap(node.plan()).returncode == 0
        assert json.loads(node.read("/etc/amigen/release.json"))["releasever"] == "2023.5.20240701"
        assert not variable.exists()


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
