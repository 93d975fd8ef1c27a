"""A root in which all that a root can prove is proved: real apt's, made ready by the rendered bootstrap.

Its kernel is files alone.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amigen.knowledge import IPVS_MODULES
from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.load import load_spec
from tests.testbed.roots import apt_root, mounted, run_in
from tests.verify.images import SPEC

KERNEL = "6.1.0-99-amigen"


@dataclass(frozen=True, kw_only=True)
class Good:
    """A root in which all that can be proved there is proved."""

    root: Path
    plan: ImagePlan


def ubuntu_plan(folder: Path) -> ImagePlan:
    """apt_root says that it is Ubuntu 24.04."""
    path = folder / "spec.yaml"
    path.write_text(SPEC.replace("debian-12", "ubuntu-24.04"))
    return plan_image(load_spec(path), "ubuntu-24.04")


@contextmanager
def good_root() -> Iterator[Good]:
    """Make it, and remove it in the end."""
    work = Path(tempfile.mkdtemp(prefix="amigen-red-"))
    root = work / "root"
    try:
        plan = ubuntu_plan(work)
        apt_root(root)
        make_kernel(root)
        (root / "root/bootstrap.sh").write_text(bootstrap_script(plan, user_data=False))
        with mounted(root):
            done = run_in(root, "bash", "/root/bootstrap.sh", AMIGEN_NO_KERNEL="1")
        assert done.returncode == 0, done.stdout
        (root / "root/bootstrap.sh").unlink()
        clean(root)
        yield Good(root=root, plan=plan)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)


def make_kernel(root: Path) -> None:
    """The files of a kernel: each module needs ip_vs, and ip_vs needs nf_conntrack."""
    folder = root / "lib/modules" / KERNEL
    (folder / "kernel/net").mkdir(parents=True)
    lines = []
    for module in IPVS_MODULES:
        (folder / f"kernel/net/{module}.ko").write_bytes(b"not a module")
        needs = {"nf_conntrack": [], "ip_vs": ["nf_conntrack"]}.get(module, ["ip_vs", "nf_conntrack"])
        lines.append(f"kernel/net/{module}.ko: {' '.join(f'kernel/net/{name}.ko' for name in needs)}".rstrip() + "\n")
    (folder / "modules.dep").write_text("".join(lines))
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")


def clean(root: Path) -> None:
    """What hygiene.sh does, by hand: it needs a running system for the rest."""
    for log in (root / "var/log").rglob("*"):
        if log.is_file():
            log.write_bytes(b"")
    for folder in ("var/lib/apt/lists", "var/cache/apt/archives"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    for cache in (root / "var/cache/apt").glob("*.bin"):
        cache.unlink()
    for backup in (root / "etc").glob("*-"):
        backup.unlink()
    (root / "etc/hostname").write_text("")
    (root / "etc/machine-id").write_text("")
