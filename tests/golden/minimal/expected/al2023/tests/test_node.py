# Checks of a node or image of ipvs-nodes on Amazon Linux 2023.
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
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_sed",
    "ip_vs_nq",
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
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_sed",
    "ip_vs_nq",
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
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_sed",
    "ip_vs_nq",
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
    "ipvsadm": None,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_package(host, name):
    version = PACKAGES[name]
    wanted = f"the package {name} is installed"
    assert host.package(name).is_installed, explain(expected=wanted, found="it is not", todo=BOOTSTRAP)
    if version is not None:
        # Epoch, version and release, as the spec names them; a line for each that is installed.
        found = host.check_output("rpm -q --qf '%%{EVR}\\n' %s", name).splitlines()
        assert version in found, explain(
            expected=f"{wanted} in version {version}", found=f"version {', '.join(found)}", todo=BOOTSTRAP
        )


# Path -> mode, owner, group, sha256 of the content.
FILES = {
    "/usr/local/lib/amigen/ready": (
        "0755",
        "root",
        "root",
        "58b93a07d1f56ddda524bf325608a6e7491860eede8c1ec39f2fd4c16080f273",
    ),
    "/etc/systemd/system/amigen-ready.service": (
        "0644",
        "root",
        "root",
        "2ff4a218d72ab60ade8146e2155e268acd7948e902375a1b70bbe2317de41a51",
    ),
    "/etc/systemd/system/nodeadm-run.service.d/10-amigen-ready.conf": (
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
    "/etc/modules-load.d/ipvs.conf": (
        "0644",
        "root",
        "root",
        "aba083ba20a34c87f1c2a2eff3a2a286df3f76961f7441d6abbf997c6f80455b",
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
    "ipvs-nodes": "abe7d37be9fc1810bdf175272090e237aa5985579f6cd7c1889c838f58dd5c99",
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


# Last of all: asking for a scheduler loads its module.
SCHEDULERS = (
    "rr",
    "wrr",
    "lc",
    "wlc",
    "lblc",
    "lblcr",
    "sh",
    "dh",
    "sed",
    "nq",
)


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
    "modules": (
        "ip_vs",
        "ip_vs_rr",
        "ip_vs_wrr",
        "ip_vs_lc",
        "ip_vs_wlc",
        "ip_vs_lblc",
        "ip_vs_lblcr",
        "ip_vs_sh",
        "ip_vs_dh",
        "ip_vs_sed",
        "ip_vs_nq",
        "nf_conntrack",
    ),
    "packages": ("ipvsadm",),
    "files": (
        "/usr/local/lib/amigen/ready",
        "/etc/systemd/system/amigen-ready.service",
        "/etc/systemd/system/nodeadm-run.service.d/10-amigen-ready.conf",
        "/etc/systemd/system/kubelet.service.d/10-amigen-ready.conf",
        "/etc/modules-load.d/ipvs.conf",
        "/var/lib/cloud/instance/sem/config_scripts_user",
    ),
    "texts": ("/etc/amigen/release.json", "/run/cloud-init/result.json"),
    "commands": (
        "systemctl is-enabled amigen-ready.service",
        "systemctl is-active amigen-ready.service",
        "systemctl list-units --failed --plain --no-legend",
    ),
    "schedulers": ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq"),
}
