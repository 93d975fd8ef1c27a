"""The rendered testinfra suite: every check of a plan as a test that a person can read and run without amigen's CLI."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import amigen
from amigen.base.templates import render
from amigen.plan import checks
from amigen.plan.gate import RELEASE_PATH, UNIT
from amigen.plan.make import sysctl_path
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS

CLOUD_INIT_MARK = "/var/lib/cloud/instance/sem/config_scripts_user"
CLOUD_INIT_SCRIPTS = "/var/lib/cloud/instance/scripts"
JUDGE_THE_KERNEL = (UNIT,)
HOOK_STAMPS = "/var/lib/amigen/hooks"

# Check -> (name of its table in the template, entry of the table). An entry's first value is the check's subject.
Entry = Callable[[Any], tuple[Any, Any]]
TABLES: Mapping[type[checks.Check], tuple[str, Entry]] = MappingProxyType(
    {
        checks.LoadedCheck: ("loaded", lambda c: (c.module, None)),
        checks.ConnTabCheck: ("tables", lambda c: (2**c.bits, None)),
        checks.PersistedCheck: ("persisted", lambda c: (c.module, None)),
        checks.EveryKernelCheck: ("in_every_kernel", lambda c: (c.module, None)),
        checks.PackageCheck: ("packages", lambda c: (c.name, c.version)),
        checks.CommandCheck: ("commands", lambda c: (c.command, c.argument)),
        checks.FileCheck: ("files", lambda c: (c.path, (c.mode, c.owner, c.group, c.sha256))),
        checks.HookCheck: ("hooks", lambda c: (c.name, c.sha256)),
        checks.ReleaseCheck: ("release", lambda c: (c.name, c.digest)),
        checks.SysctlCheck: ("sysctls", lambda c: (c.key, (sysctl_path(c.key), " ".join(c.value.split())))),
        checks.KernelVersionCheck: ("kernel_versions", lambda c: (c.subject, c.minimum)),
        checks.UnitEnabledCheck: ("units_enabled", lambda c: (c.unit, None)),
        checks.UnitActiveCheck: ("units_active", lambda c: (c.unit, None)),
        checks.CloudInitCheck: ("cloud_init", lambda c: (c.subject, None)),
        checks.CloudInitOnceCheck: ("cloud_init_once", lambda c: (c.subject, None)),
        checks.NoFailedUnitCheck: ("failed_units", lambda c: (c.subject, c.besides)),
        checks.JoinedCheck: ("joined", lambda c: (c.subject, None)),
        checks.SchedulerCheck: ("schedulers", lambda c: (c.scheduler, None)),
        checks.HygieneCheck: ("leftovers", lambda c: (c.what, LEFTOVERS[c.what])),
    }
)
# Tables of which only the subjects count.
_LISTS = frozenset(
    {
        *("loaded", "tables", "persisted", "in_every_kernel", "units_enabled", "units_active", "cloud_init"),
        *("cloud_init_once", "joined", "schedulers"),
    }
)

# Subject -> (a command that lists what is left, in the folder of the image; why it must not be there). Relative paths,
# no `%`, and nothing that follows a link: a link of the image would lead into the machine that looks at it.
LEFTOVERS: Mapping[checks.HygieneSubject, tuple[str, str]] = MappingProxyType(
    {
        "machine-id": (
            "for id in etc/machine-id var/lib/dbus/machine-id; do if [ ! -L $id ] && [ -s $id ]"
            " && ! grep -qx uninitialized $id; then echo $id; fi; done",
            "all its nodes would be one machine to DHCP, journald and the cluster",
        ),
        "host-keys": (
            "find etc/ssh -maxdepth 1 -name 'ssh_host_*_key*' 2>/dev/null",
            "who has one node's key could pass for every other",
        ),
        "cloud-init": (
            "find var/lib/cloud/data var/lib/cloud/instance var/lib/cloud/instances var/lib/cloud/sem ! -type d"
            " 2>/dev/null",
            "cloud-init would take a new node for the builder and skip its user data",
        ),
        "logs": (
            # Daemons that go on writing until the machine is off, and records of logins.
            "find var/log -type f -size +0 ! -name wtmp ! -name btmp ! -name lastlog"
            " ! -path 'var/log/amazon/*' ! -path 'var/log/audit/*' 2>/dev/null",
            "they tell of the builder, and hide what a node itself logs",
        ),
        "package-cache": (
            "find var/cache/apt/archives var/lib/apt/lists var/cache/dnf var/lib/dnf ! -type d -size +0"
            " ! -name lock ! -name 'modulefailsafe*' 2>/dev/null",
            "it is old when a node starts, and costs disk on each",
        ),
        "authorized-keys": (
            "find root home -maxdepth 3 -path '*.ssh/authorized_keys*' -size +0 2>/dev/null",
            "the builder's key would open every node",
        ),
        "shell-history": (
            "find root home -maxdepth 2 ! -type d -size +0"
            " '(' -name '.*_history' -o -name .lesshst -o -name .viminfo ')' 2>/dev/null",
            "it tells what was typed on the builder, secrets included",
        ),
        "temporary-files": (
            "find tmp var/tmp ! -type d ! -path '*/systemd-private-*' 2>/dev/null",
            "they are the builder's",
        ),
        "random-seed": (
            "find var/lib/systemd/random-seed var/lib/systemd/credential.secret boot/efi/loader/random-seed"
            " efi/loader/random-seed 2>/dev/null",
            "nodes that start from one seed may draw the same secrets",
        ),
        "hostname": (
            "if [ ! -L etc/hostname ] && [ -s etc/hostname ]; then echo etc/hostname; fi",
            "every node would begin with the builder's name",
        ),
        # Leases, crash data and mail are also what virt-sysprep removes (`virt-sysprep --list-operations`).
        "device-identity": (
            "grep -ls '^InitiatorName=' etc/iscsi/initiatorname.iscsi; find etc/nvme/hostnqn etc/nvme/hostid"
            " var/lib/NetworkManager/secret_key var/lib/amazon/ssm/Vault var/lib/amazon/ssm/registration"
            " var/lib/snapd/device ! -type d 2>/dev/null",
            "its nodes would be one machine to storage, Systems Manager, snapd and IPv6 neighbours",
        ),
        "kubelet-state": (
            "find var/lib/kubelet/pki var/lib/kubelet/pods var/lib/kubelet/kubeconfig var/lib/kubelet/device-plugins"
            " var/lib/containerd/io.containerd.runtime.v2.task ! -type d 2>/dev/null; ls -d var/lib/kubelet/*_state"
            " 2>/dev/null",
            "a kubelet would begin with the builder's certificates, pods and reservations",
        ),
        "leases": (
            "find var/lib/dhcp var/lib/dhclient var/lib/NetworkManager -name '*.lease*' 2>/dev/null",
            "a node would ask for the builder's address",
        ),
        "dumps-and-stamps": (
            "find var/lib/systemd/coredump var/crash var/mail/ var/spool/mail var/lib/systemd/timers ! -type d"
            " ! -type l 2>/dev/null",
            "dumps and mail tell of the builder, and stamps make timers skip their first run",
        ),
        "account-backups": (
            "find etc -maxdepth 1 ! -type d '(' -name 'passwd-' -o -name 'shadow-' -o -name 'group-'"
            " -o -name 'gshadow-' -o -name 'subuid-' -o -name 'subgid-' ')'",
            "they hold the builder's accounts and password hashes",
        ),
    }
)


def suite_files(plan: ImagePlan) -> dict[str, str]:
    """The suite as files of the rendered platform folder: `tests/test_node.py` and `tests/test_image.py`.

    A check `test_x[subject]` is the test function `test_x` with the parameter `subject`; testinfra puts the host before
    it (`test_x[ssh://node-subject]`).
    """
    tables = _tables(plan)
    fact = PLATFORMS[plan.platform]
    common: dict[str, Any] = {
        "name": plan.spec.name,
        "title": fact.title,
        "version": amigen.__version__,
        "family": fact.family,
        "facts": facts_of(plan),
        "judge_the_kernel": JUDGE_THE_KERNEL,
        "cloud_init_scripts": CLOUD_INIT_SCRIPTS,
        "cloud_init_mark": CLOUD_INIT_MARK,
        "hook_stamps": HOOK_STAMPS,
        "release_path": RELEASE_PATH,
        "kubelet_units": tuple(unit for unit in fact.kubelet_units if "kubelet" in unit),
        "uses_json": bool(tables["release"] or tables["cloud_init"]),
        **tables,
    }
    files = {"tests/test_node.py": render("templates", "test_node.py.jinja", **common)}
    if tables["leftovers"]:
        files["tests/test_image.py"] = render("templates", "test_image.py.jinja", **common)
    return files


def facts_of(plan: ImagePlan) -> dict[str, tuple[str, ...]]:
    """What the suite of a plan asks a node, as the keys of `amigen.facts.Wanted`; no empty kinds."""
    tables = _tables(plan)
    units = PLATFORMS[plan.platform].kubelet_units if tables["joined"] else ()
    texts = [f"{HOOK_STAMPS}/{name}.sha256" for name in tables["hooks"]]
    texts += [RELEASE_PATH] if tables["release"] else []
    texts += ["/run/cloud-init/result.json"] if tables["cloud_init"] else []
    commands = [f"{shlex.quote(command)} {shlex.quote(argument)}" for command, argument in tables["commands"].items()]
    commands += [f"ls {CLOUD_INIT_SCRIPTS}"] if tables["cloud_init_once"] else []
    units = (*tables["units_enabled"], *tables["units_active"], *units)
    # With any unit, the failed ones are gathered, too.
    units = units or (JUDGE_THE_KERNEL if tables["failed_units"] else ())
    asked = {
        "modules": dict.fromkeys((*tables["loaded"], *tables["persisted"], *tables["in_every_kernel"])),
        "packages": tables["packages"],
        "files": (*tables["files"], *((CLOUD_INIT_MARK,) if tables["cloud_init_once"] else ())),
        "texts": texts,
        "settings": [path for path, _value in tables["sysctls"].values()],
        "commands": commands,
        "units": dict.fromkeys(units),
        "schedulers": tables["schedulers"],
    }
    return {kind: tuple(values) for kind, values in asked.items() if values}


def _tables(plan: ImagePlan) -> dict[str, Any]:
    tables: dict[str, dict[Any, Any]] = {name: {} for name, _ in TABLES.values()}
    for check in plan.checks:
        name, entry = TABLES[type(check)]
        subject, value = entry(check)
        tables[name][subject] = value
    return {name: tuple(table) if name in _LISTS else table for name, table in tables.items()}
