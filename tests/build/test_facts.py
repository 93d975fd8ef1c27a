"""What a builder says of itself: the real script, run by a shell, with programs that play the package managers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amigen.base.errors import BuildError, ToolError
from amigen.build import facts
from amigen.build.facts import ask_builder
from amigen.connections.model import UnreachableError
from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.spec.values import Platform
from amigen.vm.ssh import SshTarget
from tests.specs import spec


def builder(connection: object) -> SshTarget:
    """A builder that is reached so."""
    return cast(SshTarget, SimpleNamespace(as_root=connection))


class Here:
    """In the place of a connection to a builder: a shell of this machine, with one more program in its PATH."""

    surroundings = None

    def __init__(self, folder: Path, program: str, does: str) -> None:
        (folder / program).write_text(f"#!/bin/sh\n{does}\n")
        (folder / program).chmod(0o755)
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False, env=self.environment)


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    def ask(plan: ImagePlan, program: str, does: str) -> facts.BuilderFacts:
        return ask_builder(plan, builder(Here(tmp_path, program, does)))

    return ask


def plan(platform: Platform) -> ImagePlan:
    return plan_image(spec({"platforms": [platform], "modules": {"extra": ["no-such"]}}), platform)


def test_apt(asked: Any) -> None:
    """What was removed and left its configuration is not there; of one name there may be several."""
    rows = "installed kmod:amd64 30\\nconfig-files jq:amd64 1.6\\ninstalled linux:amd64 1\\ninstalled linux:amd64 2\\n"
    found = asked(plan("debian-12"), "dpkg-query", f"printf '{rows}'")
    assert found.packages == {"kmod:amd64": "30", "linux:amd64": "1 2"}
    assert found.kernel.running == os.uname().release
    assert found.kernel.modules["no-such"] == "absent"
    assert set(found.kernel.modules.values()) <= {"loaded", "built in", "absent"}


def test_dnf_without_any_package(asked: Any) -> None:
    assert asked(plan("al2023"), "rpm", "true").packages == {}


def test_a_package_manager_that_fails(asked: Any) -> None:
    with pytest.raises(BuildError, match="did not list its installed packages: database is locked"):
        asked(plan("al2023"), "rpm", "echo database is locked >&2; exit 1")


def test_a_builder_that_is_gone() -> None:
    """As for every connection of a build: the exit code of a tool."""

    def refuse(*_: object) -> None:
        raise UnreachableError("Connection refused")

    with pytest.raises(ToolError, match="the builder: could not connect: Connection refused"):
        ask_builder(plan("al2023"), builder(SimpleNamespace(run=refuse)))
