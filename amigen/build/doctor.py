"""What this machine can do, and what to install: `amigen doctor`."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from amigen.base.errors import ToolError
from amigen.base.processes import SYSTEM_PATH
from amigen.build.packer_tool import find_packer
from amigen.vm.acceleration import machine_architecture, probe

_VERSION = re.compile(r"\d+\.\d+[\w.:~+-]*")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that this machine has or lacks.

    Attributes:
        found: What is there, such as a version; empty where there is none.
        needed_for: The commands that need it.
        install: How to get it; empty where it is there.
    """

    name: str
    found: str
    needed_for: str
    install: str = ""


# Program -> what it is for, and how to get it on Debian and Ubuntu or from its maker.
_PROGRAMS = (
    ("qemu-system-x86_64", "build --target local, verify of image files", "apt-get install qemu-system-x86"),
    ("qemu-system-aarch64", "the same for arm64", "apt-get install qemu-system-arm qemu-efi-aarch64"),
    ("qemu-img", "build --target local, verify of image files", "apt-get install qemu-utils"),
    ("gpgv", "local builds from Ubuntu's cloud image", "apt-get install gpgv"),
    ("mmdebstrap", "reading images before they boot, local bases by mmdebstrap", "apt-get install mmdebstrap"),
    ("genisoimage", "user data of local machines", "apt-get install genisoimage"),
    ("ssh", "verify ssh://..., build", "apt-get install openssh-client"),
    ("session-manager-plugin", "aws.communicator: session-manager", "AWS's Session Manager plugin"),
)


def findings() -> Iterator[Finding]:
    """All that is looked at, in the order of the table."""
    yield Finding(name="python", found=platform.python_version(), needed_for="amigen itself")
    yield from _packer()
    for name, needed_for, install in _PROGRAMS:
        yield _finding(name, _version(name), needed_for, install)
    yield _kvm()
    yield _credentials()
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    there = any(Path(part).is_file() for part in kubeconfig.split(os.pathsep))
    install = "aws eks update-kubeconfig --name CLUSTER"
    yield _finding("kubeconfig", kubeconfig if there else "", "kube-proxy", install)


def _finding(name: str, found: str, needed_for: str, install: str) -> Finding:
    return Finding(name=name, found=found, needed_for=needed_for, install="" if found else install)


def _version(program: str) -> str:
    """The version that a program prints, or its path where it prints none; empty where it is missing."""
    path = shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)
    if path is None:
        return ""
    option = "-V" if program == "ssh" else "--version"
    try:
        done = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return path
    said = _VERSION.search(done.stdout + done.stderr)
    return said[0] if said else path


def _packer() -> Iterator[Finding]:
    """HashiCorp's Packer, and the plugins that `packer init` has installed; 1.6 has its builders inside."""
    plugins = {"amazon": "build --target aws", "qemu": "build --target local"}
    try:
        packer = find_packer(target="local")
    except ToolError as error:
        yield Finding(name="packer", found="", needed_for="build", install=f"{error.message}; {error.hint}")
        return
    yield Finding(name="packer", found=packer.text, needed_for="build")
    if not packer.modern:
        return
    done = subprocess.run(
        [packer.path, "plugins", "installed"], capture_output=True, text=True, timeout=30, check=False
    )
    for name, needed_for in plugins.items():
        found = re.search(rf"packer-plugin-{name}_v([0-9][0-9.]*)", done.stdout)
        install = "packer init, in the folder `packer` that amigen renders"
        yield _finding(f"packer-plugin-{name}", found[1] if found else "", needed_for, install)


def _kvm() -> Finding:
    """Whether a guest runs with KVM: on some machines /dev/kvm is there and fails."""
    name, needed_for = "KVM", "fast virtual machines"
    try:
        made = probe(machine_architecture())
    except ToolError as error:
        return _finding(name, "", needed_for, f"{error.hint}, to see whether it works")
    install = f"{made.reason}; virtual machines are emulated, which is slow"
    return _finding(name, made.reason if made.name == "kvm" else "", needed_for, install)


def _credentials() -> Finding:
    """Whether the environment or files name credentials; whether AWS takes them is not asked."""
    files = [Path(os.environ.get(f"AWS_{kind}_FILE") or Path.home() / ".aws" / name) for kind, name in _AWS_FILES]
    found = next((name for name in _AWS_VARIABLES if os.environ.get(name)), "")
    found = found or next((str(path) for path in files if path.is_file()), "")
    return _finding("AWS credentials", found, "build, publish, fleet, images", "aws configure sso, or AWS_PROFILE")


_AWS_FILES = (("SHARED_CREDENTIALS", "credentials"), ("CONFIG", "config"))
_AWS_VARIABLES = (
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
