"""arm64 on a machine of another architecture: Debian's own packages, started by UEFI, all of it emulated."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from amigen.vm.acceleration import machine_architecture, runs_programs_of
from amigen.vm.official import MIRROR
from tests.build.local_builds import APT, build, proven
from tests.testbed.cloud_image import cloud_image
from tests.vm import image_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SPEC = re.sub("^local: .*\n", "architectures: [arm64]\n", APT, flags=re.MULTILINE)


def test_an_arm64_image_is_built_booted_and_verified(folder: Path, tmp_path: Path) -> None:
    if machine_architecture() != "arm64" and not (runs_programs_of("arm64") and shutil.which("arch-test")):
        pytest.skip("not proven here: no arch-test, or binfmt_misc does not run programs of arm64")
    with image_site.site(tmp_path / "web") as web:
        image_site.debian(web, "12", "bookworm", "arm64", cloud_image("debian-12", "arm64").read_bytes())
        done = build(folder, SPEC, {MIRROR: web.url}, timeout=7000)
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "apt", "debian-12", "ipvsadm", architecture="arm64")
    [image] = json.loads((folder / "amigen-build/apt/local.json").read_text())["images"]
    assert (image["architecture"], image["processor"]) == ("arm64", "tcg")
    assert image["kernel"]["running"].endswith("-arm64")
    assert "arm64 is emulated on" in done.stdout + done.stderr
