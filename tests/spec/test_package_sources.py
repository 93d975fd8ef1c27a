"""Mirrors of a spec as the real apt reads them. dnf's list options (comma, white space) were seen in its own parser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from amigen.platforms import PLATFORMS
from amigen.platforms.apt import mirror_file
from amigen.spec.load import check_bytes
from amigen.spec.model import Mirror
from tests.properties.generate import as_yaml, random_struct
from tests.specs import mapping

FACT = PLATFORMS["ubuntu-24.04"]
# Each was taken by a spec, and refused by apt or by dnf.
ODD: list[dict[str, Any]] = [
    {"url": "ftp://m/a"},
    {"url": "http://m", "suites": ["noble/"]},
    {"url": "http://m", "gpgKey": "/etc/a,b"},
]
GOOD: list[dict[str, Any]] = [
    {"url": "http://[fd00::1]:80/u", "suites": ["a", "a/b", "a-"], "components": ["main"]},
    {"url": "http://m/a,b%20(c)[d]*!?e=f&g+h;i~j"},
    {"url": "file:///srv/m", "gpgKey": "/etc/ä#b[c]\"'\\%;!"},
]


def _spec(mirror: dict[str, Any]) -> bytes:
    return as_yaml(mapping({"platforms": ["ubuntu-24.04"], "packageSources": {"mirrors": {"ubuntu-24.04": mirror}}}))


def test_what_apt_does_not_read_is_refused() -> None:
    assert [mirror for mirror in ODD if not check_bytes(_spec(mirror)).errors] == []


@pytest.mark.skipif(not shutil.which("apt-get"), reason="not proven here: no apt")
def test_apt_reads_what_a_spec_takes(tmp_path: Path) -> None:
    """Odd ones and random ones; `--print-uris` reads the sources and downloads nothing."""
    rng = Random(1)
    made = GOOD + [random_struct(Mirror, rng, 0.1, 0.8) for _ in range(400)]
    read = 0
    for mirror in made:
        checked = check_bytes(_spec(mirror))
        if checked.errors or checked.spec is None:
            assert mirror not in GOOD, checked.errors
            continue
        _, content = mirror_file(FACT, checked.spec.package_sources.mirrors["ubuntu-24.04"])
        source = tmp_path / "a.sources"
        source.write_text(content)
        options = {"Etc::SourceList": source, "Etc::SourceParts": "-", "State": tmp_path, "Cache": tmp_path}
        (tmp_path / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "update", "--print-uris", *(f"-oDir::{key}={value}" for key, value in options.items())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (mirror, done.stderr)
        assert "dists/" in done.stdout
        read += 1
    assert read > 50
