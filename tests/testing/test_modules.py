"""Kernel modules: what the parsers make of a target's words."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amigen.facts import Facts
from amigen.facts.modules import (
    LIST_KERNELS,
    LIST_PERSISTED,
    LOOK_UP,
    Availability,
    name_of,
    names_pattern,
    parse_loaded,
    parse_look_up,
    parse_persisted,
)
from amigen.testing.modules import KernelModule

PROC_MODULES = """\
ip_vs_rr 16384 0 - Live 0x0000000000000000
ip_vs 204800 2 ip_vs_rr, Live 0x0000000000000000
nf_conntrack 192512 1 ip_vs, Loading 0x0000000000000000
xfs 1 0 - Unloading 0x0
"""


def test_only_live_modules_are_loaded() -> None:
    """A module that is still loading, or goes away, does not count."""
    assert parse_loaded(PROC_MODULES) == {"ip_vs_rr", "ip_vs"}


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst", ".gz"])
def test_compressed_modules_are_modules(suffix: str) -> None:
    assert name_of(f"kernel/net/netfilter/ipvs/ip-vs_rr.ko{suffix}") == "ip_vs_rr"


def module_of(facts: Facts, monkeypatch: pytest.MonkeyPatch, name: str) -> KernelModule:
    monkeypatch.setattr("amigen.testing.modules.gather", lambda _backend, _wanted: facts)
    return KernelModule(SimpleNamespace(backend=None), name)


def test_dash_and_underscore_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """modprobe takes both; the kernel lists underscores."""
    facts = Facts(loaded=frozenset({"ip_vs_rr"}), persisted={"ip_vs_rr": "/etc/modules-load.d/ipvs.conf"})
    for name in ("ip-vs-rr", "ip_vs_rr"):
        module = module_of(facts, monkeypatch, name)
        assert (module.is_loaded, module.is_builtin, module.is_persisted) == (True, False, True)


def test_built_in_is_not_loaded_and_counts_as_available(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts(kernel="6.1.0", modules={"6.1.0": {"nf_conntrack": Availability(builtin=True)}, "6.12.0": {}})
    module = module_of(facts, monkeypatch, "nf-conntrack")
    assert (module.is_loaded, module.is_builtin, module.is_available()) == (False, True, True)
    assert not module.is_available("6.12.0")


def test_without_the_kernels_files_sysfs_says_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts(kernel="6.1.0", builtin_without_files=frozenset({"ext4"}))
    assert module_of(facts, monkeypatch, "ext4").is_builtin


def test_a_missing_dependency_makes_a_module_unavailable() -> None:
    text = "dep kernel/a/ip_vs_rr.ko: kernel/a/ip_vs.ko\nmissing kernel/a/ip_vs.ko\n"
    found = parse_look_up(text, "ip_vs_rr")
    assert (found.is_available, found.missing) == (False, ("kernel/a/ip_vs.ko",))


def test_first_folder_wins_in_modules_load() -> None:
    """modules-load.d(5): a file in /etc hides one of the same name elsewhere, also when it is empty or masked."""
    text = (
        "file /etc/modules-load.d/a.conf\nline # ip_vs\nline  ip-vs \nline ;ip_vs_rr\n\n"
        "file /etc/modules-load.d/b.conf\n"  # a link to /dev/null: no lines
        "file /run/modules-load.d/b.conf\nline ip_vs_wrr\n"
        "file /usr/lib/modules-load.d/c.conf\nline ip_vs_lc\n"
    )
    assert parse_persisted(text) == {
        "ip_vs": "/etc/modules-load.d/a.conf",
        "ip_vs_lc": "/usr/lib/modules-load.d/c.conf",
    }


@given(st.text(max_size=400))
def test_parsers_take_anything(text: str) -> None:
    """What a target prints is not trusted: no parser fails on it."""
    parse_loaded(text)
    parse_persisted(text)
    parse_look_up(text, "ip_vs")


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True), min_size=1, max_size=5, unique=True))
def test_names_pattern_matches_each_of_its_names(names: list[str]) -> None:
    import re

    pattern = re.compile(f"({names_pattern(names)})")
    for name in names:
        assert pattern.fullmatch(name)
        assert pattern.fullmatch(name.replace("-", "_"))


class TestCommands:
    """The commands themselves, run by a real shell over a folder that stands for the root of a target."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for kernel in ("6.1.0-1", "6.1.0-2"):
            folder = tmp_path / "lib/modules" / kernel
            (folder / "kernel/net").mkdir(parents=True)
            (folder / "modules.dep").write_text(
                "kernel/net/ip_vs.ko.xz: kernel/net/nf_conntrack.ko.xz\nkernel/net/nf_conntrack.ko.xz:\n"
                "kernel/net/ip_vs_rr.ko.xz: kernel/net/ip_vs.ko.xz kernel/net/nf_conntrack.ko.xz\n"
            )
            (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
            for name in ("ip_vs", "ip_vs_rr", "nf_conntrack"):
                (folder / f"kernel/net/{name}.ko.xz").touch()
        (tmp_path / "lib/modules/removed").mkdir()
        return tmp_path

    @staticmethod
    def sh(root: Path, command: str) -> str:
        """Absolute paths of the commands become paths below the root: no chroot is needed, and so no root user."""
        for folder in ("/lib/modules", "/etc/modules-load.d", "/run/modules-load.d", "/usr/l"):
            command = command.replace(folder, f"{root}{folder}")
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        return subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=False).stdout

    def test_kernels_are_what_has_modules(self, root: Path) -> None:
        """A folder that a removed kernel left is none."""
        assert self.sh(root, LIST_KERNELS).split() == ["6.1.0-1", "6.1.0-2"]

    def test_look_up(self, root: Path) -> None:
        command = LOOK_UP % ("6.1.0-1", shlex.quote(names_pattern(["ip-vs-rr", "ext4"])))
        text = self.sh(root, command)
        assert parse_look_up(text, "ip_vs_rr").is_available
        assert parse_look_up(text, "ext4").builtin
        assert not parse_look_up(text, "ip_vs").is_available, "not asked for, so not known"

    def test_look_up_names_the_file_that_is_missing(self, root: Path) -> None:
        (root / "lib/modules/6.1.0-1/kernel/net/nf_conntrack.ko.xz").unlink()
        command = LOOK_UP % ("6.1.0-1", shlex.quote(names_pattern(["ip_vs_rr"])))
        assert parse_look_up(self.sh(root, command), "ip_vs_rr").missing == ("kernel/net/nf_conntrack.ko.xz",)

    def test_persisted(self, root: Path) -> None:
        etc, usr = root / "etc/modules-load.d", root / "usr/lib/modules-load.d"
        etc.mkdir(parents=True)
        usr.mkdir(parents=True)
        (etc / "ipvs.conf").write_text("# comment\nip_vs\n\n  ip-vs-rr")
        (etc / "masked.conf").symlink_to("/dev/null")
        (usr / "masked.conf").write_text("ip_vs_sed\n")
        (etc / "readme.txt").write_text("ip_vs_nq\n")
        found = parse_persisted(self.sh(root, LIST_PERSISTED))
        assert set(found) == {"ip_vs", "ip_vs_rr"}
