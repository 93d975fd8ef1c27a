"""What a builder says of itself: the real script, run by a shell, with programs that play the package managers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from amigen.base.errors import BuildError
from amigen.build import facts
from amigen.build.facts import ask_machine
from amigen.vm.ssh import Completed, SshTarget


class Here:
    """In the place of a machine that is reached by ssh."""

    def __init__(self, folder: Path) -> None:
        self.path = f"{folder}:{os.environ['PATH']}"

    def run(self, command: str, **_given: Any) -> Completed:
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, env={"PATH": self.path}
        )
        return Completed(command=command, returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)


def machine(folder: Path, program: str, does: str) -> SshTarget:
    for name, text in ((program, does), ("sudo", 'shift; exec "$@"')):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return cast(SshTarget, Here(folder))


def test_apt(tmp_path: Path) -> None:
    """What was removed and left its configuration is not there."""
    rows = "installed kmod:amd64 30\\nconfig-files jq:amd64 1.6\\ninstalled linux:amd64 1\\ninstalled linux:amd64 2\\n"
    found = ask_machine(machine(tmp_path, "dpkg-query", f"printf '{rows}'"), "apt")
    assert found.packages == {"kmod:amd64": "30", "linux:amd64": "1 2"}
    assert found.kernel == os.uname().release


def test_dnf_without_any_package(tmp_path: Path) -> None:
    assert ask_machine(machine(tmp_path, "rpm", "true"), "dnf").packages == {}


def test_a_package_manager_that_fails(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="did not list its installed packages: database is locked"):
        ask_machine(machine(tmp_path, "rpm", "echo database is locked >&2; exit 1"), "dnf")


def test_a_removed_kernel_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder stays where something else lies in it."""
    for name in ("6.1.0-1/modules.builtin", "6.1.0-2/modules.builtin", "5.10.0-9/updates/dkms/x.ko"):
        path = tmp_path / "modules" / name
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr(facts, "_SCRIPT", facts._SCRIPT.replace("/lib/modules", f"{tmp_path}/modules"))
    found = ask_machine(machine(tmp_path, "rpm", "true"), "dnf")
    assert found.kernels == ("6.1.0-1", "6.1.0-2")
