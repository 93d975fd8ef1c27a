"""A local image of an official cloud image, which starts by its own boot loader."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from amigen.vm.official import MIRROR
from tests.build.local_builds import APT, build, proven
from tests.testbed.cloud_image import cloud_image
from tests.vm import image_site

pytestmark = pytest.mark.slow

SPEC = re.sub("^local: .*\n", "local: {firmware: uefi}\n", APT, flags=re.MULTILINE)


def test_the_newest_image_by_uefi(folder: Path, tmp_path: Path) -> None:
    """The record names its version, what its checksum is trusted for, and what pins it. BIOS is in test_readme.py."""
    disk = cloud_image("debian-12").read_bytes()
    with image_site.site(tmp_path / "web") as web:
        image_site.debian(web, "12", "bookworm", "amd64", disk)
        done = build(folder, SPEC, {MIRROR: web.url})
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "apt", "debian-12", "ipvsadm")
    [image] = json.loads((folder / "amigen-build/apt/local.json").read_text())["images"]
    folder_of_version = f"{web.url}/cloud.debian.org/images/cloud/bookworm/20260914-2601"
    url = f"{folder_of_version}/debian-12-genericcloud-amd64-20260914-2601.qcow2"
    sha256 = hashlib.sha256(disk).hexdigest()
    assert image["source"] == f"{url}, its checksum over http; the publisher does not sign"
    assert image["sourceImage"] == f"sha256:{sha256}"
    assert f"set local.bases: {{debian-12: {{url: {url}, sha256: {sha256}}}}}" in done.stderr
