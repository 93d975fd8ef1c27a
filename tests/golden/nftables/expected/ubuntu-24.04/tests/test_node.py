# Checks of a node or image of nftables-nodes on Ubuntu 24.04.
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
    "nf_tables",
    "nf_conntrack",
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


# Loaded at every boot by systemd-modules-load.
PERSISTED = (
    "nf_tables",
    "nf_conntrack",
)


@pytest.mark.parametrize("module", PERSISTED)
def test_module_persisted(kernel_module, module):
    assert kernel_module(module).is_persisted, explain(
        expected=f"a file of modules-load.d names {module}",
        found="none does, or a file of the same name in a folder that goes first hides it",
        todo=BOOTSTRAP,
    )


IN_EVERY_KERNEL = (
    "nf_tables",
    "nf_conntrack",
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
    "nftables": None,
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


# Command -> an argument with which it answers and does nothing.
COMMANDS = {
    "nft": "--version",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(host, command):
    done = host.run("%s %s", command, COMMANDS[command])
    assert done.rc == 0, explain(
        expected=f"{command} {COMMANDS[command]} ends with 0",
        found=f"it ended with {done.rc}: {done.stderr.strip() or done.stdout.strip()}",
        todo=f"install the package that has {command}",
    )


# Path -> mode, owner, group, sha256 of the content.
FILES = {
    "/usr/local/lib/amigen/ready": (
        "0755",
        "root",
        "root",
        "89b89a0a8c2d80e8f367a180c3575a756359deb2301110896feb189d561a3f8b",
    ),
    "/etc/systemd/system/amigen-ready.service": (
        "0644",
        "root",
        "root",
        "4f7ebbbccd6f3f0e00e36dce1cef022a9f2070d6952b9bc8e63dfe290029910e",
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
    "/etc/modules-load.d/amigen.conf": (
        "0644",
        "root",
        "root",
        "bb5cb002adc9829bd9704b8da70e342838345f901736b919207b1c9033e0f849",
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


# Spec -> its digest.
RELEASE = {
    "nftables-nodes": "333ff26d97dff8616a5114c5e5ff4f52bb7bc1586ae68d48ec5c8418e9250167",
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


# The oldest kernel that will do.
MINIMUM_KERNELS = {
    "5.13": (5, 13),
}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("minimum", MINIMUM_KERNELS)
def test_kernel_version(host, minimum):
    release = host.check_output("uname -r")
    found = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    assert found >= MINIMUM_KERNELS[minimum], explain(
        expected=f"a kernel from {minimum} on, which kube-proxy in nftables mode needs",
        found=release,
        todo="install a newer kernel, or choose a newer release of the distribution",
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


# What `pytest --amigen-prefetch` gathers from a host in one round trip.
PREFETCH = {
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
        "systemctl is-enabled amigen-ready.service",
        "systemctl is-active amigen-ready.service",
        "systemctl list-units --failed --plain --no-legend",
    ),
}
