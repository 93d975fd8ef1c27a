"""The SSM document: its script runs for real, in a root of its own whose programs and kernel files are made up.

What the script looks at (files, /proc, the kernel's folders) is laid out as on a node; `systemctl`, `rpm`,
`dpkg-query`, `ipvsadm`, `uname` and `unshare` are stand-ins that answer from files. It proves what the script makes of
their answers, and not what a real node's programs say.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from msgspec import structs

from amigen.base.errors import SizeError
from amigen.checks import KINDS
from amigen.checks.at_boot import ModuleOptionCheck, SysctlAtBootCheck
from amigen.checks.cloud_init import CloudInitCheck, CloudInitOnceCheck
from amigen.checks.command import CommandCheck
from amigen.checks.file import FileCheck
from amigen.checks.hook import HookCheck
from amigen.checks.hygiene import HygieneCheck
from amigen.checks.ipvs import ConnTabCheck, SchedulerCheck
from amigen.checks.joined import JoinedCheck
from amigen.checks.kernel import KernelVersionCheck
from amigen.checks.model import Check
from amigen.checks.module import EveryKernelCheck, LoadedCheck, PersistedCheck
from amigen.checks.package import PackageCheck
from amigen.checks.release import ReleaseCheck
from amigen.checks.sysctl import SysctlCheck
from amigen.checks.unit import NoFailedUnitCheck, UnitActiveCheck, UnitEnabledCheck
from amigen.export.ssm_document import LIMIT, check_script, ssm_document
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.spec.load import load_spec
from tests.specs import EXAMPLES, GOLDEN, joins, spec

# As root, or where users may have namespaces of their own.
UNSHARE = ("unshare", *(() if os.geteuid() == 0 else ("-r",)), "-m")
in_a_root = pytest.mark.skipif(
    subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    reason="this user may not mount in a namespace",
)
KERNEL = "6.12.0-1"
TABLE_BITS = "sys/module/ip_vs/parameters/conn_tab_bits"
CONTENT = b"ip_vs\n"
DIGEST = "a" * 64
STAND_INS = {
    "uname": f"echo {KERNEL}",
    "systemctl": 'if [ "$1" = list-units ]; then cat /said/failed; else cat "/said/$1 $2"; fi',
    "rpm": 'cat "/said/rpm $5"',
    "dpkg-query": 'cat "/said/deb $5"',
    "unshare": 'shift; "$@"',
    # Debian's alternatives are in /etc.
    "awk": 'exec mawk "$@"',
    "ipvsadm": 'if [ "$1" = --version ]; then cat /said/ipvsadm; else grep -x "$5" /said/schedulers; fi',
}
CHECKS: tuple[Check, ...] = (
    SchedulerCheck(scheduler="sed"),
    LoadedCheck(module="ip_vs"),
    LoadedCheck(module="nf-conntrack"),
    ConnTabCheck(bits=16),
    PersistedCheck(module="ip_vs"),
    EveryKernelCheck(module="ip_vs"),
    PackageCheck(name="ipvsadm", version="1.31-1"),
    CommandCheck(command="ipvsadm"),
    FileCheck(path="/etc/it's {{ here }}", sha256=hashlib.sha256(CONTENT).hexdigest(), mode="0640"),
    HookCheck(name="mine", sha256=DIGEST),
    ReleaseCheck(name="ipvs-nodes", digest=DIGEST),
    SysctlCheck(key="net.ipv4.tcp_rmem", value="4096 131072  6291456"),
    ModuleOptionCheck(option="conn_tab_bits", value="16"),
    SysctlAtBootCheck(key="net.ipv4.tcp_rmem", value="4096 131072  6291456"),
    KernelVersionCheck(minimum=(5, 13)),
    UnitEnabledCheck(unit="amigen-ready.service"),
    UnitActiveCheck(unit="amigen-ready.service"),
    CloudInitCheck(),
    CloudInitOnceCheck(digest=DIGEST),
    NoFailedUnitCheck(),
    JoinedCheck(),
)


def plan_of(*wanted: Check, platform: str = "al2023") -> ImagePlan:
    """A plan with these checks alone."""
    return structs.replace(plan_images(spec({"platforms": [platform]}))[0], steps=(), always=wanted)


OPTIONS_PATH = "etc/modprobe.d/amigen-ipvs.conf"
OPTIONS = "options other conn_tab_bits=1\noptions ip_vs debug=1 conn-tab-bits=16\n"


class Node:
    """A root on which everything is as the checks want it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("usr", "tmp", "dev", "etc/modules-load.d", "usr/local/lib/modules-load.d"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        (root / "dev/null").write_bytes(b"")
        (root / "lib").mkdir()
        for libraries in Path("/usr/lib").glob("*-linux-gnu"):
            (root / "lib" / libraries.name).symlink_to(libraries)
        for name, body in STAND_INS.items():
            self.put(f"stand-in/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)
        self.put("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        self.put("etc/group", "root:x:0:\n")
        self.put("proc/modules", "ip_vs 180224 12 ip_vs_sed, Live 0x0000\nother 1 0 - Live 0x0\n")
        # Linux 7.1 shows the size of the moment.
        self.put("proc/net/ip_vs", "IP Virtual Server version 1.2.1 (size=256)\nProt\n")
        self.put(TABLE_BITS, "16\n")
        self.put("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
        kernel = f"lib/modules/{KERNEL}"
        self.put(f"{kernel}/modules.dep", "kernel/net/ip_vs.ko.xz: kernel/lib/libcrc32c.ko.xz\n")
        self.put(f"{kernel}/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n")
        self.put(f"{kernel}/kernel/net/ip_vs.ko.xz", "")
        self.put(f"{kernel}/kernel/lib/libcrc32c.ko.xz", "")
        self.put("etc/modules-load.d/amigen.conf", "# ours\n ip_vs \n; no\n")
        self.put("etc/it's {{ here }}", CONTENT.decode()).chmod(0o640)
        self.put("var/lib/amigen/hooks/mine.sha256", f"{DIGEST}\n")
        self.put("etc/amigen/release.json", json.dumps({"name": "ipvs-nodes", "digest": DIGEST}, indent=2))
        self.put("run/cloud-init/result.json", '{\n "v1": {\n  "errors": []\n }\n}\n')
        self.put("var/lib/cloud/instance/sem/config_scripts_user", "")
        self.put("said/failed", "")
        self.put(OPTIONS_PATH, OPTIONS)
        self.put("etc/sysctl.d/90-amigen.conf", "net/ipv4/tcp_rmem = 4096 131072\t6291456\n")
        self.put("said/is-enabled amigen-ready.service", "enabled\n")
        self.put("said/is-active amigen-ready.service", "active\n")
        self.put("said/is-active kubelet.service", "active\n")
        self.put("said/rpm ipvsadm", "1.31-1\n")
        self.put("said/deb ipvsadm", "install ok installed 1.31-1\n")
        self.put("said/ipvsadm", "ipvsadm v1.31\n")
        self.put("said/schedulers", "rr\nsed\n")

    def put(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def run(self, plan: ImagePlan, shell: str = "sh") -> subprocess.CompletedProcess[str]:
        """Run the document's script in this root, as the SSM agent would."""
        commands = ssm_document(plan, joined=True)["mainSteps"][0]["inputs"]["runCommand"]
        (self.root / "script").write_text("\n".join(commands))
        # The programs of this machine, in a mount namespace that ends with the script.
        inner = 'mount --bind /usr "$1/usr" && exec chroot "$1" /usr/bin/env -i PATH=/stand-in:/usr/bin "$2" /script'
        return subprocess.run(
            [*UNSHARE, "sh", "-c", inner, "sh", str(self.root), shell],
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "root")


@in_a_root
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("platform", ["al2023", "ubuntu-24.04"])
def test_a_node_as_it_should_be_passes(node: Node, platform: str, shell: str) -> None:
    done = node.run(plan_of(*CHECKS, platform=platform), shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"all {len(CHECKS)} checks passed of ipvs-nodes on {platform} (digest ")


def _newer_kernel_lacks_it(node: Node) -> None:
    node.put("lib/modules/6.18.0-1/modules.dep", "kernel/other.ko:\n")
    node.put("lib/modules/6.18.0-1/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    node.put("lib/modules/6.18.0-1/kernel/other.ko", "")


def _masked(node: Node) -> None:
    """The name goes first in /etc, and is a link to nowhere; the file of the distribution is hidden by it."""
    node.remove("etc/modules-load.d/amigen.conf")
    (node.root / "etc/modules-load.d/amigen.conf").symlink_to("/dev/nowhere")
    node.put("run/modules-load.d/amigen.conf", "ip_vs\n")


BREAKS: list[tuple[str, str, Callable[[Node], object]]] = [
    ("test_module_loaded[ip_vs]", "neither loaded", lambda n: n.put("proc/modules", "ip_vs_sed 1 0 - Live 0x0\n")),
    ("test_module_loaded[ip_vs]", "neither loaded", lambda n: n.put("proc/modules", "ip_vs 1 0 - Loading 0x0\n")),
    ("test_connection_table[65536]", "has 4096", lambda n: n.put(TABLE_BITS, "12\n")),
    ("test_module_persisted[ip_vs]", "next boot", lambda n: n.put("etc/modules-load.d/amigen.conf", "# ip_vs\n")),
    ("test_module_persisted[ip_vs]", "next boot", _masked),
    (
        "test_module_persisted[ip_vs]",
        "/etc/modprobe.d/x.conf:1:blacklist ip-vs",
        lambda n: n.put("etc/modprobe.d/x.conf", "blacklist ip-vs\n"),
    ),
    (
        "test_module_persisted[ip_vs]",
        "/proc/cmdline:1:modprobe.blacklist=ip_vs",
        lambda n: n.put("proc/cmdline", "ro modprobe.blacklist=ip_vs\n"),
    ),
    ("test_module_in_every_kernel[ip_vs]", "6.18.0-1 lacks ip_vs.ko", _newer_kernel_lacks_it),
    (
        "test_module_in_every_kernel[ip_vs]",
        "lacks kernel/lib/libcrc32c.ko.xz",
        lambda n: n.remove(f"lib/modules/{KERNEL}/kernel/lib/libcrc32c.ko.xz"),
    ),
    ("test_package[ipvsadm]", "is not installed", lambda n: n.remove("said/rpm ipvsadm")),
    ("test_package[ipvsadm]", "it has 1.30-9", lambda n: n.put("said/rpm ipvsadm", "1.30-9\n")),
    ("test_command[ipvsadm]", "ended with 1", lambda n: n.remove("said/ipvsadm")),
    ("test_file[/etc/it's {{ here }}]", "other content", lambda n: n.put("etc/it's {{ here }}", "x")),
    ("test_file[/etc/it's {{ here }}]", "has 600", lambda n: (n.root / "etc/it's {{ here }}").chmod(0o600)),
    ("test_file[/etc/it's {{ here }}]", "there is no file", lambda n: n.remove("etc/it's {{ here }}")),
    ("test_hook[mine]", "has not run", lambda n: n.remove("var/lib/amigen/hooks/mine.sha256")),
    ("test_hook[mine]", "another script", lambda n: n.put("var/lib/amigen/hooks/mine.sha256", "b" * 64)),
    ("test_release[ipvs-nodes]", "another state", lambda n: n.put("etc/amigen/release.json", '{"name":"ipvs-nodes"}')),
    (
        "test_module_option[conn_tab_bits]",
        "sets conn_tab_bits=14",
        # Of several on one line, the kernel takes the last.
        lambda n: n.put(OPTIONS_PATH, "options ip_vs conn_tab_bits=16 conn_tab_bits=14\n"),
    ),
    (
        "test_sysctl_at_boot[net.ipv4.tcp_rmem]",
        "set to 1 2 3 by /etc/sysctl.d/99-x.conf",
        lambda n: n.put("etc/sysctl.d/99-x.conf", "net.ipv4.*_rmem = 7\n-net.ipv4.tcp_rmem = 1 2\t3\n"),
    ),
    ("test_sysctl[net.ipv4.tcp_rmem]", "it is 1 2 3", lambda n: n.put("proc/sys/net/ipv4/tcp_rmem", "1 2 3")),
    ("test_sysctl[net.ipv4.tcp_rmem]", "No such file", lambda n: n.remove("proc/sys/net/ipv4/tcp_rmem")),
    (
        "test_unit_enabled[amigen-ready.service]",
        "it is disabled",
        lambda n: n.put("said/is-enabled amigen-ready.service", "disabled"),
    ),
    (
        "test_unit_active[amigen-ready.service]",
        "it is failed",
        lambda n: n.put("said/is-active amigen-ready.service", "failed"),
    ),
    ("test_cloud_init[done]", "with errors", lambda n: n.put("run/cloud-init/result.json", '{"v1":{"errors":["x"]}}')),
    ("test_cloud_init[done]", "has not ended", lambda n: n.remove("run/cloud-init/result.json")),
    (
        "test_cloud_init_once[user-data]",
        "no mark",
        lambda n: n.remove("var/lib/cloud/instance/sem/config_scripts_user"),
    ),
    ("test_no_failed_unit[systemd]", "a.service b.service", lambda n: n.put("said/failed", "a.service\nb.service\n")),
    ("test_joined[kubelet]", "no kubelet runs", lambda n: n.put("said/is-active kubelet.service", "inactive")),
    ("test_scheduler[sed]", "does not take the scheduler sed", lambda n: n.put("said/schedulers", "rr\n")),
]


@in_a_root
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize(("id_", "said", "spoil"), BREAKS, ids=[f"{n}-{b[0]}" for n, b in enumerate(BREAKS)])
def test_what_is_wrong_is_one_line(node: Node, id_: str, said: str, spoil: Callable[[Node], object]) -> None:
    """Exactly the check of the thing that was spoiled fails; the exit code is 1."""
    spoil(node)

    done = node.run(plan_of(*CHECKS))

    assert (done.returncode, done.stderr) == (1, "")
    first, last = done.stdout.splitlines()
    assert first.startswith(f"FAILED {id_}: ")
    assert said in first
    assert last.startswith(f"1 of {len(CHECKS)} checks failed of ipvs-nodes on al2023")


@in_a_root
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize(("minimum", "code"), [((6, 12), 0), ((6, 13), 1), ((7, 0), 1), ((5, 99), 0)])
def test_the_kernel_is_compared_by_number(node: Node, minimum: tuple[int, int], code: int) -> None:
    assert node.run(plan_of(KernelVersionCheck(minimum=minimum))).returncode == code


def test_every_kind_of_check_has_a_function() -> None:
    """Hygiene is of images before their first boot, which no node can look at."""
    planned = [
        check for case in GOLDEN.glob("*/spec.yaml") for plan in plan_images(load_spec(case)) for check in plan.checks
    ]
    checks = [check for check in (*CHECKS, *planned) if not check.image]

    assert {type(check) for check in checks} == {*KINDS} - {HygieneCheck}
    assert all(check.call(PLATFORMS["al2023"]) for check in checks)


def test_whether_a_node_has_joined_is_asked_only_where_it_must_have() -> None:
    plan = plan_images(spec(joins()))[0]

    assert "test_joined" not in check_script(plan)
    assert "test_joined" in check_script(plan, joined=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_document_is_whole_and_its_script_clean(example: Path, tmp_path: Path) -> None:
    """Schema 2.2, small enough, nothing that Systems Manager would take for a parameter; shellcheck agrees."""
    for plan in plan_images(load_spec(example)):
        document = ssm_document(plan, joined=True)
        script = tmp_path / "script.sh"
        script.write_text("\n".join(document["mainSteps"][0]["inputs"]["runCommand"]) + "\n")

        assert set(document) == {"schemaVersion", "description", "mainSteps"}
        assert document["schemaVersion"] == "2.2"
        assert document["mainSteps"][0]["action"] == "aws:runShellScript"
        assert "{{" not in json.dumps(document)
        assert len(json.dumps(document)) < LIMIT
        wanted = [check.id for check in plan.checks if not check.image]
        assert script.read_text().count("\ncheck ") == len(wanted)
        done = subprocess.run(["shellcheck", "-s", "sh", str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_a_document_that_is_too_large_is_refused() -> None:
    many = tuple(FileCheck(path=f"/etc/{n}", sha256=DIGEST) for n in range(600))

    with pytest.raises(SizeError, match="Systems Manager takes 65536"):
        ssm_document(plan_of(*many))


def test_systems_manager_takes_it(moto_url: str) -> None:
    """moto's, which reads the schema version and the JSON, and keeps it; it does not check each field as AWS does."""
    client = boto3.client(
        "ssm", region_name="eu-central-1", endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="x"
    )
    content = json.dumps(ssm_document(plan_images(spec())[0]))

    made = client.create_document(Content=content, Name="amigen-checks", DocumentType="Command", DocumentFormat="JSON")

    assert made["DocumentDescription"]["SchemaVersion"] == "2.2"
    assert json.loads(client.get_document(Name="amigen-checks")["Content"]) == json.loads(content)
