"""Roots and plans for the tests that run rendered scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amigen import parse_spec, plan_image
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script, hygiene_script
from tests.testbed.roots import apt_root, dnf_root, mounted, run_in

FAMILIES: dict[str, Callable[[Path], Path]] = {"ubuntu-24.04": apt_root, "al2023": dnf_root}
BASE: dict[str, Any] = {
    "apiVersion": "amigen/v1alpha1",
    "kind": "NodeImage",
    "name": "test",
    "kubernetesVersion": "1.34",
}


class Node:
    """A root in which a plan's scripts are run; no kernel of its own, so nothing is loaded."""

    def __init__(self, root: Path, platform: str) -> None:
        self.root, self.platform = root, platform

    def plan(self, **spec: Any) -> ImagePlan:
        return plan_image(parse_spec({**BASE, "platforms": [self.platform], **spec}), self.platform)

    def run_script(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.root / "root/script.sh").write_text(text)
        return run_in(self.root, "bash", "/root/script.sh", **{"AMIGEN_NO_KERNEL": "1", **environment})

    def bootstrap(self, plan: ImagePlan, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run_script(bootstrap_script(plan, user_data=True), **environment)

    def put_script(self, plan: ImagePlan) -> None:
        (self.root / "root/script.sh").write_text(bootstrap_script(plan, user_data=True))

    def run_again(self) -> subprocess.CompletedProcess[str]:
        """The script that is there already."""
        return run_in(self.root, "bash", "/root/script.sh", AMIGEN_NO_KERNEL="1")

    def run_as(self, user: str, *command: str) -> subprocess.CompletedProcess[str]:
        return run_in(self.root, "setpriv", f"--reuid={user}", "--clear-groups", "--", *command, AMIGEN_NO_KERNEL="1")

    def clean(self, plan: ImagePlan) -> subprocess.CompletedProcess[str]:
        return self.run_script(hygiene_script(plan))

    def run(self, command: str) -> str:
        return run_in(self.root, "sh", "-c", command).stdout

    def read(self, path: str) -> bytes:
        return (self.root / path.lstrip("/")).read_bytes()


@pytest.fixture(params=list(FAMILIES))
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A fresh root of each family."""
    with fresh_node(request.param, tmp_path) as made:
        yield made


@contextmanager
def fresh_node(platform: str, tmp_path: Path, *, in_memory: bool = True) -> Iterator[Node]:
    """A fresh root, gone in the end; in memory where there is room, for a root is thousands of small files."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a root of another system cannot be made or entered")
    shm = Path("/dev/shm")
    roomy = in_memory and shm.is_dir() and shutil.disk_usage(shm).free > 4 << 30
    root = Path(tempfile.mkdtemp(prefix="amigen-root-", dir=shm)) / "root" if roomy else tmp_path / "root"
    try:
        FAMILIES[platform](root)
        with mounted(root):
            yield Node(root, platform)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=False)
        if roomy:
            root.parent.rmdir()
