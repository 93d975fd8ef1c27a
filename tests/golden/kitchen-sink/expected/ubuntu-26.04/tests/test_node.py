# Checks of a node or image of kitchen-sink on Ubuntu 26.04.
# Written by amigen 0.1.0; do not edit: change the spec and render again.
#
#   pytest --hosts=ssh://USER@NODE --sudo test_node.py
#
# Needs pytest-testinfra and amigen, whose pytest plugin brings the fixture `node` (the facts of the host, gathered in one
# round trip; `FACTS` at the end says which) and the `needs_...` markers: what a container or an unpacked root cannot
# prove is skipped as "not provable here". The order matters: modules are looked at before anything can load them.
import json

import pytest

from amigen.testing import explain, not_provable

BOOTSTRAP = "run the bootstrap again (scripts/bootstrap.sh, or the user data); its last line says what is wrong"
# Units that fail where the kernel lacks what this node needs.
JUDGE_THE_KERNEL = ("amigen-ready.service",)


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
def test_module_loaded(node, module):
    assert node.is_loaded(module), explain(
        expected=f"the module {module} is loaded or built in",
        found=node.obstacles.get(module, "it is neither"),
        todo=f"systemctl status systemd-modules-load; modprobe {module}",
    )


# Buckets of the ipvs connection table.
TABLE_SIZES = (262144,)


@pytest.mark.needs_kernel
@pytest.mark.parametrize("buckets", TABLE_SIZES, ids=str)
def test_connection_table(node, buckets):
    # By the module's parameter: from Linux 7.1 on, /proc/net/ip_vs shows the size that the table has at the moment.
    bits = node.connection_table_bits
    assert bits is not None and 1 << bits == buckets, explain(
        expected=f"ipvs has a connection table of {buckets} buckets",
        found="ip_vs is not loaded" if bits is None else f"{1 << bits} buckets (conn_tab_bits={bits})",
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
def test_module_persisted(node, module):
    assert module in node.persisted, explain(
        expected=f"a file of modules-load.d names {module}",
        found="none does, or a file of the same name in a folder that takes precedence hides it",
        todo=BOOTSTRAP,
    )
    assert module not in node.obstacles, explain(
        expected=f"systemd-modules-load loads {module} at boot",
        found=node.obstacles[module],
        todo="remove that line or mask, then reboot",
    )


# Option of ip_vs -> its value.
MODULE_OPTIONS = {
    "conn_tab_bits": "18",
}


@pytest.mark.parametrize("option", MODULE_OPTIONS)
def test_module_option(node, option):
    settings = [line for line in node.option_settings if f" sets {option}=" in line]
    assert {line.rpartition("=")[2] for line in settings} == {MODULE_OPTIONS[option]}, explain(
        expected=f"modprobe loads ip_vs with {option}={MODULE_OPTIONS[option]}",
        found="; ".join(settings) or "no file of modprobe.d sets it",
        todo=f"grep -r {option} /etc/modprobe.d /usr/lib/modprobe.d; remove the other line",
    )


# Kernel parameter -> its path, and the value that is set at boot.
SYSCTLS_AT_BOOT = {
    "net.core.somaxconn": ("/proc/sys/net/core/somaxconn", "32768"),
    "net.bridge.bridge-nf-call-iptables": ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1"),
    "net.ipv4.ip_local_port_range": ("/proc/sys/net/ipv4/ip_local_port_range", "10240 65000"),
    "net.ipv4.conf.eth0/1.rp_filter": ("/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "2"),
    "kernel.core_pattern": ("/proc/sys/kernel/core_pattern", '|/bin/false $(id) `id` \'"'),
}


@pytest.mark.parametrize("key", SYSCTLS_AT_BOOT)
def test_sysctl_at_boot(node, key):
    path, value = SYSCTLS_AT_BOOT[key]
    if not node.knows_sysctls_at_boot:
        not_provable("there is no systemd-sysctl that would read sysctl.d")
    said, file = node.sysctl_at_boot(path) or ("not set", "no file of sysctl.d")
    assert said == value, explain(
        expected=f"{key} is set to {value} at boot", found=f"{file}: {said}", todo=f"remove the line of {file}"
    )


IN_EVERY_KERNEL = (
    "ip_vs",
    "ip_vs_lblcr",
    "nf_conntrack",
    "br-netfilter",
    "nf_nat",
)


@pytest.mark.parametrize("module", IN_EVERY_KERNEL)
def test_module_in_every_kernel(node, module):
    if not node.kernels:
        not_provable("no kernel is installed here")
    for kernel in node.kernels:
        found = node.availability(module, kernel)
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
def test_package(node, name):
    version = PACKAGES[name]
    found = node.package(name)
    wanted = f"the package {name} is installed"
    assert found, explain(expected=wanted, found="it is not", todo=BOOTSTRAP)
    assert version is None or version in found, explain(
        expected=f"{wanted} in version {version}", found=f"version {', '.join(found)}", todo=BOOTSTRAP
    )


# Path -> mode, owner, group, sha256 of the content.
FILES = {
    "/usr/local/lib/amigen/ready": (
        "0755",
        "root",
        "root",
        "1868fcb7cca2199f61f1676f6d0518580af567ff570ee61496dc01571ad3fc84",
    ),
    "/etc/systemd/system/amigen-ready.service": (
        "0644",
        "root",
        "root",
        "3eb7e521099d19d2b6b1f91e9718dc0f716b5782a80501446dc67ac7191dd811",
    ),
    "/etc/systemd/system/snap.kubelet-eks.daemon.service.d/10-amigen-ready.conf": (
        "0644",
        "root",
        "root",
        "f2ba011e85392b759f58e6a12359ee2d3a37b8893947c8926e0b29c4008c1a3b",
    ),
    "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf": (
        "0644",
        "root",
        "root",
        "f2ba011e85392b759f58e6a12359ee2d3a37b8893947c8926e0b29c4008c1a3b",
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
        "9ecd57b76a9891a786c331a4c18b5cd3b71bbe9466ca0d8910d6fff3770c23d5",
    ),
    "/etc/modules-load.d/amigen.conf": (
        "0644",
        "root",
        "root",
        "a681dbe8170f7078510392fa5c60f7fb58772177c2aaac447ccd1ea57b76fc5d",
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
        "f9a5ddc2f90a2e2a3f4e2cecefb34ec9b931bc01d8933619e29e8c5f9103ae0a",
    ),
}


@pytest.mark.parametrize("path", FILES)
def test_file(node, path):
    mode, owner, group, digest = FILES[path]
    file = node.files.get(path)
    assert file is not None and file.is_file, explain(
        expected=f"the file {path}", found="there is none", todo=BOOTSTRAP
    )
    assert file.sha256 == digest, explain(
        expected=f"{path} as amigen writes it, sha256 {digest}",
        found=f"other content, sha256 {file.sha256}",
        todo=f"put the change into the spec; or {BOOTSTRAP}",
    )
    assert file.mode == mode, explain(
        expected=f"{path} with mode {mode}", found=f"mode {file.mode}", todo=f"chmod {mode} {path}"
    )
    assert owner in (file.user, file.uid), explain(
        expected=f"{path} of the user {owner}", found=f"user {file.user}", todo=f"chown {owner} {path}"
    )
    assert group in (file.group, file.gid), explain(
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
def test_hook(node, name):
    stamp = node.texts.get(f"{HOOK_STAMPS}/{name}.sha256")
    assert stamp is not None, explain(
        expected=f"the hook {name} has run to its end", found="it has not", todo=BOOTSTRAP
    )
    ran = stamp.strip()
    assert ran == HOOKS[name], explain(
        expected=f"the hook {name} has run, script {HOOKS[name]}", found=f"script {ran} has run", todo=BOOTSTRAP
    )


# Spec -> its digest.
RELEASE = {
    "kitchen-sink": "c03d12a38454179c9d6367851ea402277b2646cdf0c296301f685a37be65fb96",
}


@pytest.mark.parametrize("name", RELEASE)
def test_release(node, name):
    path = "/etc/amigen/release.json"
    text = node.texts.get(path)
    assert text is not None, explain(
        expected=f"{path} says that this is {name}", found="there is no such file", todo=BOOTSTRAP
    )
    said = json.loads(text)
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
def test_sysctl(node, key):
    path, value = SYSCTLS[key]
    said = node.settings.get(path)
    assert said is not None and " ".join(said.split()) == value, explain(
        expected=f"{key} is {value}",
        found=f"there is no {path}" if said is None else f"it is {' '.join(said.split())}",
        todo="sysctl --system says which file sets it; the last one wins",
    )


UNITS_ENABLED = ("amigen-ready.service",)


@pytest.mark.parametrize("unit", UNITS_ENABLED)
def test_unit_enabled(node, unit):
    state = node.enabled[unit]
    assert state == "enabled", explain(
        expected=f"{unit} is started at boot",
        found=state,
        todo=f"systemctl {'unmask' if state.startswith('masked') else 'enable'} {unit}",
    )


UNITS_ACTIVE = ("amigen-ready.service",)


@pytest.mark.needs_boot
@pytest.mark.parametrize("unit", UNITS_ACTIVE)
def test_unit_active(node, unit):
    state = node.active.get(unit, "systemctl does not answer")
    if unit in JUDGE_THE_KERNEL and state != "active" and node.surroundings.container:
        not_provable(f"{unit} judges the kernel, which a container borrows from its host")
    assert state == "active", explain(
        expected=f"{unit} is active",
        found=state,
        todo=f"systemctl status {unit}; journalctl -b -u {unit}",
    )


@pytest.mark.needs_boot
@pytest.mark.parametrize("state", ("done",))
def test_cloud_init(node, state):
    # The file that `cloud-init status` reads.
    result = node.texts.get("/run/cloud-init/result.json")
    assert result is not None, explain(
        expected=f"cloud-init is {state}",
        found="it has not ended, is disabled or is not installed",
        todo="cloud-init status --long; journalctl -b -u cloud-final",
    )
    errors = json.loads(result)["v1"]["errors"]
    assert not errors, explain(
        expected=f"cloud-init is {state}, without an error",
        found="; ".join(map(str, errors)),
        todo="/var/log/cloud-init-output.log says which script failed and why",
    )


# Lists the scripts that cloud-init wrote for this instance; that of this spec's user data has the spec's digest in it.
LIST_SCRIPTS = {
    "user-data": 'for file in /var/lib/cloud/instance/scripts/* /var/lib/amigen/bootstrap.sh; do [ -f "$file" ] || continue; whose=other; { cat "$file"; sed -e "1,/^[[:space:]]base64 -d/d" -e "/^PACKED$/,\\$d" "$file" | base64 -d | gunzip; } 2>/dev/null | grep -qF c03d12a38454179c9d6367851ea402277b2646cdf0c296301f685a37be65fb96 && whose=ours; echo "$whose $file"; done; true',
}


@pytest.mark.needs_boot
@pytest.mark.parametrize("what", LIST_SCRIPTS)
def test_cloud_init_once(node, what):
    whose = node.commands[LIST_SCRIPTS[what]].stdout.split()[::2]
    if "ours" not in whose:
        given = "scripts of other user data alone" if whose else f"no {what} with a script"
        not_provable(f"this instance was given {given}")
    # cloud-init's mark says that the scripts have been run, and are not run again at this instance's next boots. It is
    # there without any user data, too.
    assert "/var/lib/cloud/instance/sem/config_scripts_user" in node.files, explain(
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
def test_no_failed_unit(node, manager):
    assert node.failed is not None, explain(expected=f"{manager} says what failed", found="systemctl does not answer")
    besides = (*FAILED_UNITS[manager], *(JUDGE_THE_KERNEL if node.surroundings.container else ()))
    found = "\n".join(line for line in node.failed if line.split()[0] not in besides)
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
def test_joined(node, program):
    states = {unit: node.active.get(unit, "unknown") for unit in KUBELET_UNITS}
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
def test_scheduler(node, scheduler):
    # Tried in a network namespace of its own, so that the node is not changed.
    done = node.schedulers.get(scheduler)
    assert done is not None and done.code == 0, explain(
        expected=f"ipvs takes a virtual service with the scheduler {scheduler}",
        found=f"ipvsadm ended with {done.code}: {done.stderr.strip()}" if done else "ipvsadm could not be tried",
        todo=f"modprobe ip_vs_{scheduler}; dmesg | tail",
    )


# What the fixture `node` gathers from a host in one round trip.
FACTS = {
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
        'for program in /usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl; do if [ -x "$program" ]; then exec "$program" --cat-config; fi; done; exit 127',
        'for file in /var/lib/cloud/instance/scripts/* /var/lib/amigen/bootstrap.sh; do [ -f "$file" ] || continue; whose=other; { cat "$file"; sed -e "1,/^[[:space:]]base64 -d/d" -e "/^PACKED$/,\\$d" "$file" | base64 -d | gunzip; } 2>/dev/null | grep -qF c03d12a38454179c9d6367851ea402277b2646cdf0c296301f685a37be65fb96 && whose=ours; echo "$whose $file"; done; true',
    ),
    "units": ("amigen-ready.service", "snap.kubelet-eks.daemon.service", "kubelet.service"),
    "schedulers": ("lblcr",),
}
