# Checks of a node or image of kitchen-sink on Ubuntu 26.04.
# Written by amigen 0.1.0; do not edit: change the spec and render again.
#
#   pytest --hosts=ssh://USER@NODE --sudo test_node.py
#
# Needs pytest-testinfra and amigen, whose pytest plugin brings `kernel_module` and the `needs_...` markers: what a
# container or an unpacked root cannot prove is skipped as "not provable here". The order matters: what is loaded is
# looked at before anything can load it.
import json

import pytest

from amigen.testing import explain

BOOTSTRAP = "run the bootstrap again (scripts/bootstrap.sh, or the user data); its last line says what is wrong"


# Loaded or built in after every boot.
LOADED = (
    "ip_vs",
    "ip_vs_lblcr",
    "nf_conntrack",
    "br-netfilter",
    "nf_nat",
)


@pytest.mark.needs_kernel
@pytest.mark.parametrize("module", LOADED)
def test_module_loaded(kernel_module, module):
    found = kernel_module(module)
    assert found.is_loaded or found.is_builtin, explain(
        expected=f"the module {module} is loaded or built in",
        found="it is neither",
        todo=f"systemctl status systemd-modules-load; modprobe {module}",
    )


# Buckets of the ipvs connection table.
TABLE_SIZES = (262144,)


@pytest.mark.needs_kernel
@pytest.mark.parametrize("buckets", TABLE_SIZES, ids=str)
def test_connection_table(host, buckets):
    # The kernel says it in its first line: IP Virtual Server version 1.2.1 (size=4096).
    said = host.run("head -n 1 /proc/net/ip_vs").stdout.strip()
    assert f"(size={buckets})" in said, explain(
        expected=f"ipvs has a connection table of {buckets} buckets",
        found=said or "ipvs is not there",
        todo="conn_tab_bits holds from the moment ip_vs is loaded: reboot, and look for other files in modprobe.d",
    )


# Loaded at every boot by systemd-modules-load.
PERSISTED = (
    "ip_vs",
    "ip_vs_lblcr",
    "nf_conntrack",
    "br-netfilter",
    "nf_nat",
)


@pytest.mark.parametrize("module", PERSISTED)
def test_module_persisted(kernel_module, module):
    assert kernel_module(module).is_persisted, explain(
        expected=f"a file of modules-load.d names {module}",
        found="none does, or a file of the same name in a folder that goes first hides it",
        todo=BOOTSTRAP,
    )


IN_EVERY_KERNEL = (
    "ip_vs",
    "ip_vs_lblcr",
    "nf_conntrack",
    "br-netfilter",
    "nf_nat",
)


@pytest.mark.parametrize("module", IN_EVERY_KERNEL)
def test_module_in_every_kernel(kernel_module, installed_kernels, module):
    for kernel in installed_kernels:
        found = kernel_module(module).availability(kernel)
        assert found.is_available, explain(
            expected=f"the kernel {kernel} has {module} and all it depends on",
            found=f"{', '.join(found.missing)} not there" if found.missing else "it has no such module",
            todo="install the package with the modules of that kernel, then depmod -a; or remove the kernel",
        )


# Package -> the version that the spec pins, or None.
PACKAGES = {
    "ipvsadm": "1:1.31-2",
    "conntrack": None,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_package(host, name):
    version = PACKAGES[name]
    wanted = f"the package {name} is installed"
    assert host.package(name).is_installed, explain(expected=wanted, found="it is not", todo=BOOTSTRAP)
    if version is not None:
        found = host.package(name).version
        assert found == version, explain(
            expected=f"{wanted} in version {version}", found=f"version {found}", todo=BOOTSTRAP
        )


# Path -> mode, owner, group, sha256 of the content.
FILES = {
    "/usr/local/lib/amigen/ready": (
        "0755",
        "root",
        "root",
        "4fcaf0ce7253942796473ef23c685ee00a0359c9f6aca7d1e773a856047dc86d",
    ),
    "/etc/systemd/system/amigen-ready.service": (
        "0644",
        "root",
        "root",
        "49c414b0e6b6fb983aa8491c30f92943624bdd1138ed1571725da53d003ef64c",
    ),
    "/etc/systemd/system/snap.kubelet-eks.daemon.service.d/10-amigen-ready.conf": (
        "0644",
        "root",
        "root",
        "05e26d90f2754f7e694db7b5f6c8e49b42d8f19c1a36511f332c63c698ff3d64",
    ),
    "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf": (
        "0644",
        "root",
        "root",
        "05e26d90f2754f7e694db7b5f6c8e49b42d8f19c1a36511f332c63c698ff3d64",
    ),
    "/etc/apt/sources.list.d/amigen.sources": (
        "0644",
        "root",
        "root",
        "b7d24e5f57230bcd6513a490fa1811388930f8ded457ed4e304ef8c924d573d4",
    ),
    "/etc/profile.d/it's $(here).sh": (
        "0644",
        "root",
        "root",
        "0b3de6e458289f080860fda52dbcc59aaaa8215a0436e4d6b6dff1b783ca0407",
    ),
    "/opt/control": ("0755", "root", "root", "769e143418c7319a7115b5b5e8064f833aee8c65101c3b05b711bfdf44f9f848"),
    "/opt/empty": ("0644", "root", "root", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    "/opt/no-newline-at-end": (
        "4750",
        "1000",
        "daemon",
        "4e6ffb179cb7b175fb9f5b7d26a9736afa821bbbab0a0441e7e3ff519a3ae48f",
    ),
    "/opt/bytes": ("0600", "nobody", "root", "d606c9eed51163228f44f9c805618e92f54dabefbd4cfbf6b63ef20c57d0217d"),
    "/etc/modules-load.d/ipvs.conf": (
        "0644",
        "root",
        "root",
        "0e3cf488748ab67d94594c0f48b83686bc2485f0599f336b7ca9593446d03829",
    ),
    "/etc/modules-load.d/amigen.conf": (
        "0644",
        "root",
        "root",
        "0af6f724422eedf967d0641956fba76b6dd34be86151d9dee8fb8b114b1f07cf",
    ),
    "/etc/modprobe.d/amigen-ipvs.conf": (
        "0644",
        "root",
        "root",
        "416616fa21b800d55e867e13dcde9a83bc5c522abaab6f8cff31afde0e8b26ed",
    ),
    "/etc/sysctl.d/90-amigen.conf": (
        "0644",
        "root",
        "root",
        "2ea62aead87be8c43ae0d82e472d337f97da27237ab26750153184cb201bae53",
    ),
}


@pytest.mark.parametrize("path", FILES)
def test_file(host, path):
    mode, owner, group, digest = FILES[path]
    file = host.file(path)
    assert file.is_file, explain(expected=f"the file {path}", found="there is none", todo=BOOTSTRAP)
    # sha256sum(1) puts a backslash before the line of a file whose name has one.
    content = file.sha256sum.lstrip("\\")
    assert content == digest, explain(
        expected=f"{path} as amigen writes it, sha256 {digest}",
        found=f"other content, sha256 {content}",
        todo=f"put the change into the spec; or {BOOTSTRAP}",
    )
    found = f"{file.mode:04o}"
    assert found == mode, explain(
        expected=f"{path} with mode {mode}", found=f"mode {found}", todo=f"chmod {mode} {path}"
    )
    assert owner in (file.user, str(file.uid)), explain(
        expected=f"{path} of the user {owner}", found=f"user {file.user}", todo=f"chown {owner} {path}"
    )
    assert group in (file.group, str(file.gid)), explain(
        expected=f"{path} of the group {group}", found=f"group {file.group}", todo=f"chgrp {group} {path}"
    )


# A hook that has run to its end leaves the sha256 of its script here.
HOOK_STAMPS = "/var/lib/amigen/hooks"
# Hook -> sha256 of its script.
HOOKS = {
    "trust-ca": "b40d08aa8c5c3ece0919f588723340c2e1ea07e818539e4d5c5288cb6944ea86",
    "python-hook": "0d82da06edca9568c4791dd36ff45e4e97a79eed2be59ce184b610aa76d59160",
}


@pytest.mark.parametrize("name", HOOKS)
def test_hook(host, name):
    stamp = host.file(f"{HOOK_STAMPS}/{name}.sha256")
    assert stamp.exists, explain(expected=f"the hook {name} has run to its end", found="it has not", todo=BOOTSTRAP)
    ran = stamp.content_string.strip()
    assert ran == HOOKS[name], explain(
        expected=f"the hook {name} has run, script {HOOKS[name]}", found=f"script {ran} has run", todo=BOOTSTRAP
    )


# Spec -> its digest.
RELEASE = {
    "kitchen-sink": "23b748e83a70870605cd9c0c20a203bb8dba9a6cd5ffbbb0af555d979d9ba218",
}


@pytest.mark.parametrize("name", RELEASE)
def test_release(host, name):
    file = host.file("/etc/amigen/release.json")
    assert file.exists, explain(
        expected=f"{file.path} says that this is {name}", found="there is no such file", todo=BOOTSTRAP
    )
    said = json.loads(file.content_string)
    assert (said.get("name"), said.get("digest")) == (name, RELEASE[name]), explain(
        expected=f"a node of {name} with the spec's digest {RELEASE[name]}",
        found=f"{said.get('name')} with {said.get('digest')}",
        todo="this node or image was made from another spec, or from an older state of it: make it again",
    )


# Kernel parameter -> where the kernel shows it, and its value; white space inside counts as one space.
SYSCTLS = {
    "net.core.somaxconn": ("/proc/sys/net/core/somaxconn", "32768"),
    "net.bridge.bridge-nf-call-iptables": ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1"),
    "net.ipv4.ip_local_port_range": ("/proc/sys/net/ipv4/ip_local_port_range", "10240 65000"),
    "net.ipv4.conf.eth0/1.rp_filter": ("/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "2"),
    "kernel.core_pattern": ("/proc/sys/kernel/core_pattern", '|/bin/false $(id) `id` \'"'),
}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("key", SYSCTLS)
def test_sysctl(host, key):
    path, value = SYSCTLS[key]
    done = host.run("cat %s", path)
    found = " ".join(done.stdout.split())
    assert found == value, explain(
        expected=f"{key} is {value}",
        found=f"it is {found}" if done.rc == 0 else done.stderr.strip(),
        todo="sysctl --system says which file sets it; the last one wins",
    )


UNITS_ENABLED = ("amigen-ready.service",)


@pytest.mark.parametrize("unit", UNITS_ENABLED)
def test_unit_enabled(host, unit):
    done = host.run("systemctl is-enabled %s", unit)
    assert done.stdout.strip() == "enabled", explain(
        expected=f"{unit} is started at boot",
        found=done.stdout.strip() or done.stderr.strip(),
        todo=f"systemctl enable {unit}",
    )


UNITS_ACTIVE = ("amigen-ready.service",)


@pytest.mark.needs_boot
@pytest.mark.parametrize("unit", UNITS_ACTIVE)
def test_unit_active(host, unit):
    done = host.run("systemctl is-active %s", unit)
    assert done.stdout.strip() == "active", explain(
        expected=f"{unit} is active",
        found=done.stdout.strip() or done.stderr.strip(),
        todo=f"systemctl status {unit}; journalctl -b -u {unit}",
    )


@pytest.mark.needs_boot
@pytest.mark.parametrize("state", ("done",))
def test_cloud_init(host, state):
    # The files that `cloud-init status` reads.
    result = host.file("/run/cloud-init/result.json")
    assert result.exists, explain(
        expected=f"cloud-init is {state}",
        found="it has not ended, is disabled or is not installed",
        todo="cloud-init status --long; journalctl -b -u cloud-final",
    )
    errors = json.loads(result.content_string)["v1"]["errors"]
    assert not errors, explain(
        expected=f"cloud-init is {state}, without an error",
        found="; ".join(map(str, errors)),
        todo="/var/log/cloud-init-output.log says which script failed and why",
    )


@pytest.mark.needs_boot
@pytest.mark.parametrize("what", ("user-data",))
def test_cloud_init_once(host, what):
    # cloud-init's own mark: this instance's user data has been run, and is not run at its next boots.
    mark = host.file("/var/lib/cloud/instance/sem/config_scripts_user")
    assert mark.exists, explain(
        expected=f"the {what} of this instance has run, and will not run again",
        found="cloud-init has no mark of it: it was not run, or is run at every boot",
        todo="scripts-user must be in cloud_final_modules of /etc/cloud/cloud.cfg, once per instance",
    )


# Whose units -> those that fail on every machine that joins no cluster.
FAILED_UNITS = {
    "systemd": (),
}


@pytest.mark.needs_boot
@pytest.mark.parametrize("manager", FAILED_UNITS)
def test_no_failed_unit(host, manager):
    lines = host.check_output("systemctl list-units --failed --plain --no-legend").splitlines()
    found = "\n".join(line for line in lines if line.split()[0] not in FAILED_UNITS[manager])
    assert not found, explain(
        expected=f"no failed unit of {manager}", found=found, todo="systemctl status UNIT; journalctl -b -u UNIT"
    )


# What runs kubelet here.
KUBELET_UNITS = (
    "snap.kubelet-eks.daemon.service",
    "kubelet.service",
)


@pytest.mark.needs_cluster(*KUBELET_UNITS)
@pytest.mark.parametrize("program", ("kubelet",))
def test_joined(host, program):
    states = {unit: host.run("systemctl is-active %s", unit).stdout.strip() for unit in KUBELET_UNITS}
    assert "active" in states.values(), explain(
        expected=f"{program} runs on this node",
        found=", ".join(f"{unit}: {state}" for unit, state in states.items()),
        todo="journalctl -b -u amigen-ready -u cloud-final -u " + KUBELET_UNITS[0],
    )


# Last of all: asking for a scheduler loads its module.
SCHEDULERS = ("lblcr",)


@pytest.mark.needs_kernel
@pytest.mark.loads_modules
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_scheduler(host, scheduler):
    # In a network namespace of its own, so that nothing of it touches the node.
    done = host.run("unshare -n ipvsadm -A -t 127.0.0.1:80 -s %s", scheduler)
    assert done.rc == 0, explain(
        expected=f"ipvs takes a virtual service with the scheduler {scheduler}",
        found=f"ipvsadm ended with {done.rc}: {done.stderr.strip()}",
        todo=f"modprobe ip_vs_{scheduler}; dmesg | tail",
    )


# What `pytest --amigen-prefetch` gathers from a host in one round trip.
PREFETCH = {
    "modules": ("ip_vs", "ip_vs_lblcr", "nf_conntrack", "br-netfilter", "nf_nat"),
    "packages": ("ipvsadm", "conntrack"),
    "files": (
        "/usr/local/lib/amigen/ready",
        "/etc/systemd/system/amigen-ready.service",
        "/etc/systemd/system/snap.kubelet-eks.daemon.service.d/10-amigen-ready.conf",
        "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf",
        "/etc/apt/sources.list.d/amigen.sources",
        "/etc/profile.d/it's $(here).sh",
        "/opt/control",
        "/opt/empty",
        "/opt/no-newline-at-end",
        "/opt/bytes",
        "/etc/modules-load.d/ipvs.conf",
        "/etc/modules-load.d/amigen.conf",
        "/etc/modprobe.d/amigen-ipvs.conf",
        "/etc/sysctl.d/90-amigen.conf",
        "/var/lib/cloud/instance/sem/config_scripts_user",
    ),
    "texts": (
        "/var/lib/amigen/hooks/trust-ca.sha256",
        "/var/lib/amigen/hooks/python-hook.sha256",
        "/etc/amigen/release.json",
        "/run/cloud-init/result.json",
    ),
    "settings": (
        "/proc/sys/net/core/somaxconn",
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
        "/proc/sys/net/ipv4/ip_local_port_range",
        "/proc/sys/net/ipv4/conf/eth0.1/rp_filter",
        "/proc/sys/kernel/core_pattern",
    ),
    "commands": (
        "systemctl is-enabled amigen-ready.service",
        "systemctl is-active amigen-ready.service",
        "systemctl is-active snap.kubelet-eks.daemon.service",
        "systemctl is-active kubelet.service",
        "systemctl list-units --failed --plain --no-legend",
        "head -n 1 /proc/net/ip_vs",
    ),
    "schedulers": ("lblcr",),
}
