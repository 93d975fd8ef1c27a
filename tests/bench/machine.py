"""What a table of measurements is worth nothing without: the machine and the versions of all that took part."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import amigen
from amigen.vm.acceleration import machine_architecture, probe

_LIBRARIES = ("jinja2", "pyyaml", "click", "msgspec", "pytest", "pytest-testinfra")
# The command of each that prints a line with its version.
_PROGRAMS = (
    ("apt-get", "--version"),
    ("ssh", "-V"),
    ("qemu-system-x86_64", "--version"),
    ("packer", "version"),
    ("ansible", "--version"),
    ("cloud-init", "--version"),
)


def lines() -> Iterator[str]:
    """Processor, memory, load, acceleration and versions."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1] if found else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"machine: {os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}"
    yield f"load: {os.getloadavg()[0]:.1f} before the first row"
    if shutil.which("qemu-system-x86_64"):
        yield f"virtual machines: {probe(machine_architecture(), None).sentence}; each VM tries its kernel, too"
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield f"versions: amigen {amigen.__version__}, Python {platform.python_version()}, {libraries}"
    yield "programs: " + ", ".join(_program(*command) for command in _PROGRAMS)


def _program(name: str, option: str) -> str:
    if not shutil.which(name):
        return f"no {name}"
    done = subprocess.run([name, option], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    number = re.search(r"[0-9]+\.[0-9]+[^\s,)\]]*", done.stdout + done.stderr)
    return f"{name} {number[0] if number else '?'}"
