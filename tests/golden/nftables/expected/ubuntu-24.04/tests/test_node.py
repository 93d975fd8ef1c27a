# Checks of a node or image of nftables-nodes on Ubuntu 24.04.
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
    "nf_tables",
    "nf_conntrack",
)


@pytest.mark.needs_kernel
@pytest.mark.parametrize("module", LOADED)
def test_module_loaded(node, module):
    assert node.is_loaded(module), explain(
        expected=f"the module {module} is loaded or built in",
        found=node.obstacles.get(module, "it is neither"),
        todo=f"systemctl status systemd-modules-load; modprobe {module}",
    )


# Loaded at every boot by systemd-modules-load.
PERSISTED = (
    "nf_tables",
    "nf_conntrack",
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


IN_EVERY_KERNEL = (
    "nf_tables",
    "nf_conntrack",
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
    "nftables": None,
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


# Command -> an argument with which it answers and does nothing.
COMMANDS = {
    "nft": "--version",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(node, command):
    done = node.answer(command, COMMANDS[command])
    assert done.code == 0, explain(
        expected=f"{command} {COMMANDS[command]} ends with 0",
        found=f"it ended with {done.code}: {done.stderr.strip() or done.stdout.strip()}",
        todo=f"install the package that has {command}",
    )


# Path -> mode, owner, group, sha256 of the content.
FILES = {
    "/usr/local/lib/amigen/ready": (
        "0755",
        "root",
        "root",
        "8fece5f22cb3a7b6df50fb1469e2acb8bee43637b46ed3dff76ae8e726256d2f",
    ),
    "/etc/systemd/system/amigen-ready.service": (
        "0644",
        "root",
        "root",
        "008e559c475619bb8b313d49fa1f6d56f5c57ad82cdc79a1788f56356685a0ca",
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
    "/etc/modules-load.d/amigen.conf": (
        "0644",
        "root",
        "root",
        "bbcb78cac633cdc0137b0075168d2bc545d047089dc3c2b180b40b0444fd4cce",
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


# Spec -> its digest.
RELEASE = {
    "nftables-nodes": "333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167",
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


# The oldest kernel that will do.
MINIMUM_KERNELS = {
    "5.13": (5, 13),
}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("minimum", MINIMUM_KERNELS)
def test_kernel_version(node, minimum):
    found = tuple(int(part) for part in node.kernel.split("-")[0].split(".")[:2])
    assert found >= MINIMUM_KERNELS[minimum], explain(
        expected=f"a kernel from {minimum} on, which kube-proxy in nftables mode needs",
        found=node.kernel,
        todo="install a newer kernel, or choose a newer release of the distribution",
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
    "user-data": 'for file in /var/lib/cloud/instance/scripts/* /var/lib/amigen/bootstrap.sh; do [ -f "$file" ] || continue; whose=other; { cat "$file"; sed -e "1,/^[[:space:]]base64 -d/d" -e "/^PACKED$/,\\$d" "$file" | base64 -d | gunzip; } 2>/dev/null | grep -qF 333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167 && whose=ours; echo "$whose $file"; done; true',
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


# What the fixture `node` gathers from a host in one round trip.
FACTS = {
    "modules": ("nf_tables", "nf_conntrack"),
    "packages": ("nftables",),
    "files": (
        "/usr/local/lib/amigen/ready",
        "/etc/systemd/system/amigen-ready.service",
        "/etc/systemd/system/snap.kubelet-eks.daemon.service.d/10-amigen-ready.conf",
        "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf",
        "/etc/modules-load.d/amigen.conf",
        "/var/lib/cloud/instance/sem/config_scripts_user",
    ),
    "texts": ("/etc/amigen/release.json", "/run/cloud-init/result.json"),
    "commands": (
        "nft --version",
        'for file in /var/lib/cloud/instance/scripts/* /var/lib/amigen/bootstrap.sh; do [ -f "$file" ] || continue; whose=other; { cat "$file"; sed -e "1,/^[[:space:]]base64 -d/d" -e "/^PACKED$/,\\$d" "$file" | base64 -d | gunzip; } 2>/dev/null | grep -qF 333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167 && whose=ours; echo "$whose $file"; done; true',
    ),
    "units": ("amigen-ready.service",),
}
