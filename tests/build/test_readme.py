"""README's blocks of commands, word for word, in a copy of the checkout and a virtual environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amigen.vm.official import MIRROR
from tests.specs import ROOT
from tests.testbed.cloud_image import cloud_image
from tests.vm import image_site

BLOCKS = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def test_the_first_blocks_are_those_that_are_run() -> None:
    """The first builds, the second asks AWS for nothing but a plan."""
    assert "amigen build --target local" in BLOCKS[0]
    assert "--dry-run" in BLOCKS[1]
    assert "USER" not in BLOCKS[0] + BLOCKS[1]


def run(block: str, checkout: Path, *, timeout: int, **environment: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=checkout,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, as a clone has them."""
    folder = tmp_path_factory.mktemp("readme") / "amigen"
    for name in ("amigen", "docs", "packer", "templates", "README.md", "LICENSE", "pyproject.toml"):
        take = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        folder.mkdir(exist_ok=True)
        take(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with a virtual environment in front."""
    venv = tmp_path_factory.mktemp("readme-venv")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=300)
    return f"{venv / 'bin'}:{os.environ['PATH']}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_first_block_ends_with_a_proven_image(checkout: Path, path: str, tmp_path: Path) -> None:
    """Built, booted and checked on this machine, without an account and without an edit.

    A server on the loopback stands in for cloud.debian.org; its disk starts by BIOS.
    """
    for name in ("packer", "qemu-system-x86_64", "mmdebstrap"):
        if not shutil.which(name):
            pytest.skip(f"not proven here: no {name}")
    with image_site.site(tmp_path / "web") as web:
        image_site.debian(web, "12", "bookworm", "amd64", cloud_image("debian-12").read_bytes())
        given = {"PATH": path, "AWS_EC2_METADATA_DISABLED": "true", MIRROR: web.url}
        said = run(BLOCKS[0], checkout, timeout=3500, **given)

    image = checkout / "amigen-build/ipvs-nodes/debian-12-x86_64/disk.qcow2"
    assert image.stat().st_size > 100 << 20
    following = re.findall(r"^next: (amigen .*)$", said, re.M)
    assert following[0] == "amigen plan node-image.yaml"
    assert following[-1].startswith("amigen verify node-image.yaml ")
    for command in following[:1]:
        run(command, checkout, timeout=60, PATH=f"{checkout / '.venv/bin'}:{path}")
