"""An Amazon Linux root that has both dpkg and rpm, which testinfra alone takes for a Debian.

The root is the dnf stand-in (tests.testbed.roots): it proves which package manager is asked, nothing of Amazon itself.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from amigen.checks.model import Check
from amigen.checks.package import PackageCheck
from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.spec.load import load_spec
from amigen.verify.run import verify_many
from tests.testbed.dnf_standin import HIDDEN
from tests.testbed.roots import dnf_root, mounted, run_in
from tests.verify.images import SPEC

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="makes and enters a root")]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """With an RPM of ipvsadm, and Debian's tools where they were."""
    with tempfile.TemporaryDirectory(prefix="amigen-amzn-") as name:
        root = dnf_root(Path(name) / "root")
        with mounted(root):
            done = run_in(root, "dnf", "install", "-y", "ipvsadm")
            assert done.returncode == 0, done.stdout
        for tool in ("dpkg", "dpkg-query"):
            (root / HIDDEN / tool).rename(root / "usr/bin" / tool)
        yield root
        subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)


def outcomes(root: Path, *wanted: Check) -> dict[str, str]:
    plan = structs.replace(_plan(), steps=(), always=wanted)
    return {result.id: result.outcome for result in verify_many(plan, [f"chroot://{root}"])[0].results}


def _plan() -> ImagePlan:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "spec.yaml"
        path.write_text(SPEC.replace("debian-12", "al2023"))
        return plan_image(load_spec(path), "al2023")


def test_both_are_there(root: Path) -> None:
    """dpkg alone knows kmod, and rpm alone knows ipvsadm: without this, the next test would prove nothing."""
    dpkg = [run_in(root, "dpkg-query", "-W", name).returncode for name in ("kmod", "ipvsadm")]
    rpm = [run_in(root, "rpm", "-q", name).returncode for name in ("kmod", "ipvsadm")]
    assert (dpkg, rpm) == ([0, 1], [1, 0])


def test_rpm_is_asked(root: Path) -> None:
    found = outcomes(root, PackageCheck(name="kmod"), PackageCheck(name="ipvsadm"))
    assert found == {"test_package[kmod]": "failed", "test_package[ipvsadm]": "passed"}


@pytest.mark.parametrize(("version", "outcome"), [("1.31-1.amzn2023", "passed"), ("1.30-1.amzn2023", "failed")])
def test_versions_are_those_of_rpm(root: Path, version: str, outcome: str) -> None:
    found = outcomes(root, PackageCheck(name="ipvsadm", version=version))
    assert found == {"test_package[ipvsadm]": outcome}
