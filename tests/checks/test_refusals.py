"""Whatever the bootstrap can refuse, a check can see: each `fail` of the rendered library, and the check for it."""

from __future__ import annotations

import re

import pytest

from amigen.base.shipped import folder
from amigen.checks import BY_TEST

LIBRARY = {path.name: path.read_text(encoding="utf-8") for path in (folder("templates") / "lib").glob("*.sh")}
FAILS = {
    (name, line.split("fail ", 1)[1].strip("\"'")[:40])
    for name, text in LIBRARY.items()
    for line in text.splitlines()
    if re.search(r"(^|\|\||then|&&)\s*fail ", line)
}
# What a fault of the run itself is, which leaves nothing on the node that a check could find later.
OF_THE_RUN = "of the run"
# File and the begin of each message -> the check that fails on such a node.
SEEN_BY = {
    ("common.sh", "cannot make $state: no root, full or read"): OF_THE_RUN,
    ("common.sh", "another run is at work'"): OF_THE_RUN,
    ("common.sh", "this script is for $1, not $os"): "test_release",
    ("files.sh", "cannot keep a copy of $path: is the disk"): "test_file",
    ("files.sh", "cannot write $path: a folder, disk full,"): "test_file",
    ("gate.sh", "$(bash /usr/local/lib/amigen/ready 2>&1)"): "test_unit_active",
    ("hooks.sh", "the hook $name ended with code $?"): "test_hook",
    ("join.sh", "/etc/eks/bootstrap.sh is not here: this "): "test_joined",
    ("join.sh", "/etc/eks/bootstrap.sh ended with code $c"): "test_joined",
    ("join.sh", "cannot write $stamp: is the disk full?"): OF_THE_RUN,
    ("modules.sh", '${said[*]}: $(package_with_module "$modu'): "test_module_in_every_kernel",
    ("modules.sh", "a module would not load at boot: $said"): "test_module_persisted",
    ("modules.sh", "cannot load modules: ${said%%$'\\n'*}"): "test_module_loaded",
    ("packages.sh", "no package is named ${missing[*]}"): "test_package",
    ("packages.sh", "cannot install ${missing[*]} within $1 s"): "test_package",
    ("sysctls.sh", "$said: remove one of them"): "test_sysctl_at_boot",
    ("sysctls.sh", "this kernel has no $1: does it need a mo"): "test_sysctl",
    ("sysctls.sh", 'the kernel does not take \\"$2\\" for $1'): "test_sysctl",
    ("table.sh", "$line, the spec wants $1: remove one of "): "test_module_option",
}


def test_each_refusal_has_its_check() -> None:
    """A new `fail` needs a check, or a reason why it is about the run and not about the node."""
    known = {(name, text[:40].strip("\"'")) for name, text in SEEN_BY}
    assert {(name, text.strip("\"'")) for name, text in FAILS} == known
    assert {check for check in SEEN_BY.values() if check != OF_THE_RUN} <= {*BY_TEST}


# Function -> what else asks it: a check that a node makes by itself, and what is gathered for verify.
SHARED = {
    "at-boot.sh": ("rules", "skipped"),
    "every-kernel.sh": ("lacking",),
    "table-at-boot.sh": ("table_at_boot",),
    "sysctl-at-boot.sh": ("sysctl_at_boot",),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_is_judged_at_boot_is_one_function(name: str) -> None:
    """The bootstrap and the checks ask the same text, and no other file of the library decides it."""
    askers = [kind for kind in BY_TEST.values() if LIBRARY[name] in kind.shell]
    assert askers
    for function in SHARED[name]:
        assert any(re.search(rf"\b{function}\b", text) for other, text in LIBRARY.items() if other != name)
        assert any(function in text for kind in askers for text in (*kind.shell[1:], *kind.shell))
    for other, text in LIBRARY.items():
        if other not in SHARED:
            assert not re.search(r"modprobe\.d|sysctl\.d/\*|modules\.dep|blacklist|/proc/cmdline", text), other
