"""cloud-init 25.1 of Debian 13 beside the system's, as Python packages in the user's cache.

It is plain Python, and runs with the libraries of Debian 12. apt downloads the package from the machine's own mirror
and checks its signature; nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from amigen.base.errors import AmigenError
from amigen.platforms import PLATFORMS
from amigen.vm.apt_sources import sources_of_machine
from tests.real.build import UnavailableError, locked

VERSION = "25.1"


@cache
def newer_cloud_init() -> Path | str:
    """The folder for PYTHONPATH, or why it is not to be had."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = home / "amigen-tests" / "real" / f"cloud-init-{VERSION}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(target.with_name(f"{target.name}.lock")):
            if not target.is_dir():
                _download(target)
    except (UnavailableError, AmigenError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())[:200]
    return target / "usr" / "lib" / "python3" / "dist-packages"


def _download(target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for folder in ("lists/partial", "archives/partial"):
            (work / folder).mkdir(parents=True)
        (work / "status").touch()
        sources = sources_of_machine(PLATFORMS["debian-13"])
        (work / "sources.list").write_text("".join(f"{line}\n" for line in sources.lines))
        options = {
            "Dir::Etc::SourceList": work / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": work / "lists", "Dir::State::Status": work / "status",
            "Dir::Cache": work, "Acquire::Languages": "none", "Acquire::Retries": 1, "Acquire::http::Timeout": 10,
        }  # fmt: skip
        command = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        _run([*command, "update"], work)
        _run([*command, "download", "cloud-init"], work)
        (package,) = work.glob("cloud-init_*.deb")
        if not package.name.startswith(f"cloud-init_{VERSION}"):
            raise UnavailableError(f"the mirror has {package.name}, and not {VERSION}")
        _run(["dpkg-deb", "--extract", str(package), str(work / "root")], work)
        (work / "root").replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise UnavailableError(done.stderr or f"{command[0]} ended with {done.returncode}")
