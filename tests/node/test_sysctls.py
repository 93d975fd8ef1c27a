"""Kernel parameters that another file would take away at the next boot; in a bare root, the script unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.scripts.bootstrap import bootstrap_script
from tests.properties.throwaway import BareRoot, bare_root

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "sysctls",
    "kubernetesVersion": "1.34",
    "platforms": ["debian-12"],
    "kubeProxy": {"mode": "iptables"},
    "sysctls": {"vm.max_map_count": 262144, "net.ipv4.tcp_rmem": "4096 131072 6291456"},
}


@pytest.fixture
def root() -> Iterator[BareRoot]:
    with bare_root("debian-12") as made:
        yield made


def run(root: BareRoot, files: dict[str, str]) -> tuple[int, str]:
    for path, text in files.items():
        file = root.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            file.symlink_to(text.removeprefix("-> "))
        else:
            file.write_text(text)
    done = root.run(bootstrap_script(plan_image(parse_spec(SPEC), "debian-12"), user_data=True))
    return done.returncode, done.stdout.splitlines()[-1]


LINK = {"etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf"}
OURS = "vm.max_map_count=262144\n"
REFUSED = [
    ({"etc/sysctl.d/99-own.conf": "vm.max_map_count=65530\n"}, "99-own.conf"),
    ({"etc/sysctl.conf": "# mine\n  vm.max_map_count = 65530", **LINK}, "99-sysctl.conf"),
    ({"run/sysctl.d/zz.conf": "-vm/max_map_count = 65530\n"}, "zz.conf"),
    ({"etc/sysctl.d/95-a.conf": OURS, "run/sysctl.d/99-b.conf": "vm.max_map_count=1\n"}, "99-b.conf"),
]
TAKEN = [
    # systemd-sysctl leaves out of a pattern what a key of its own sets, whatever comes last.
    {"run/sysctl.d/99-b.conf": "vm.*_map_count=1\n"},
    {"etc/sysctl.d/10-own.conf": "vm.max_map_count=65530\n"},
    {"etc/sysctl.d/99-own.conf": "vm.max_map_count = 262144\nnet.ipv4.tcp_rmem = 4096\t131072\t6291456\n"},
    {"etc/sysctl.d/99-own.conf": "#vm.max_map_count=65530\n; vm.max_map_count=65530\nvm.max_map_count_not=1\n"},
    {"etc/sysctl.conf": "vm.max_map_count=65530\n"},
    {"etc/sysctl.d/99-own.conf": "-> /dev/null", "run/sysctl.d/99-own.conf": "vm.max_map_count=65530\n"},
    {"run/sysctl.d/95-a.conf": "vm.max_map_count=1\n", "etc/sysctl.d/99-b.conf": OURS},
]


@pytest.mark.parametrize(("files", "name"), REFUSED, ids=["own", "linked", "slashes", "the last of two"])
def test_a_file_that_wins_at_boot_is_refused(root: BareRoot, files: dict[str, str], name: str) -> None:
    """The file, the parameter and both values are in the last line."""
    code, last = run(root, files)
    assert code == 1
    assert last.startswith("amigen: FAILED: /proc/sys/vm/max_map_count should be set to 262144 at boot; it is set to ")
    assert last.endswith(f"/{name}: remove one of them")


@pytest.mark.parametrize(
    "files", TAKEN, ids=["pattern", "before", "same", "comments", "unread", "masked", "last one wins"]
)
def test_other_files_are_no_matter(root: BareRoot, files: dict[str, str]) -> None:
    """Read before ours, with our values, or not read at all."""
    code, last = run(root, files)
    assert (code, last.split(": ")[1]) == (0, "ready")
