"""Throw-away roots to run rendered scripts in, with the real package managers.

`apt_root`: this machine's own distribution by mmdebstrap. On Debian it stands in for Ubuntu: the same apt and dpkg;
its `/etc/os-release` is Ubuntu's. It does not prove anything about Ubuntu's archive or kernels.

`dnf_root`: the real dnf and rpm on a Debian root that stands in for Amazon Linux 2023, as `tests.testbed.dnf_standin`
makes it, without a kernel and in seconds.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.platforms import PLATFORMS
from amigen.vm.apt_sources import AptSources, sources_of_machine
from amigen.vm.cache import cache_key, cached
from tests.testbed import dnf_standin

# Raised when this module makes something else out of the same inputs.
RECIPE = 3

_COMMON = ("kmod", "procps", "systemd", "util-linux", "bsdutils")
_UBUNTU_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04 LTS (Debian stands in for it)"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
"""


def distribution() -> tuple[str, str]:
    """`ID` and codename of this machine."""
    lines = (line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    release = {key: value.strip('"') for key, value in lines}
    return release["ID"], release["VERSION_CODENAME"]


def apt_root(target: Path, log: Callable[[str], None] = print, packages: tuple[str, ...] = ()) -> Path:
    """A new apt root in `target`, with more packages."""
    unpack(_base("apt", (*_COMMON, *packages), log), target)
    if distribution()[0] == "debian":
        _write(target / "etc/os-release", _UBUNTU_RELEASE)
    return target


def dnf_root(target: Path, log: Callable[[str], None] = print) -> Path:
    """A new stand-in of AL2023 in `target`."""
    key = cache_key("dnf", [RECIPE, dnf_standin.RECIPE, distribution()])
    unpack(cached("roots", key, lambda folder: _make_dnf(folder, log), log=log) / "root.tar", target)
    return target


@cache
def _sources() -> AptSources:
    """apt reads all its lists to say it, at every call."""
    return sources_of_machine(next(f for f in PLATFORMS.values() if (f.os_id, f.codename) == distribution()))


def _base(name: str, packages: tuple[str, ...], log: Callable[[str], None]) -> Path:
    sources = _sources()
    key = cache_key(name, [RECIPE, sources.lines, packages])
    return (
        cached("roots", key, lambda folder: mmdebstrap(folder / "root.tar", sources, packages, log), log=log)
        / "root.tar"
    )


def mmdebstrap(
    target: Path,
    sources: AptSources,
    packages: tuple[str, ...],
    log: Callable[[str], None],
    codename: str | None = None,
) -> None:
    """A root of this machine's distribution, or of another release of it, as a tar archive."""
    log(f"making a root with mmdebstrap ({', '.join(packages)}); the next time it comes from the cache")
    options = [f"--aptopt={option}" for option in (*sources.options, 'Acquire::Retries "3"')]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--dpkgopt=path-exclude=/usr/share/doc/*", *options]
    _run([*command, f"--include={','.join(packages)}", codename or distribution()[1], str(target), *sources.lines])


def _make_dnf(folder: Path, log: Callable[[str], None]) -> None:
    root, work = folder / "root", folder / "work"
    unpack(_base("dnf-base", (*_COMMON, *dnf_standin.PACKAGES), log), root)
    work.mkdir()
    dnf_standin.turn_into_amazon_linux(root, work)
    _run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(folder / "root.tar"), "."])
    shutil.rmtree(root)
    shutil.rmtree(work)


def unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _run(["tar", "-C", str(target), "--numeric-owner", "-xpf", str(archive)])
    # The machine's resolver, so that apt in there finds the mirror.
    shutil.copyfile("/etc/resolv.conf", target / "etc/resolv.conf")


@contextmanager
def mounted(root: Path) -> Iterator[Path]:
    """The root with /proc and a /dev, which package managers and bash's process substitution need.

    A /dev of its own: who removes what a killed test left, must not remove the machine's devices.
    """
    done: list[Path] = []
    try:
        for kind, target in (("proc", root / "proc"), ("tmpfs", root / "dev")):
            _run(["mount", "-t", kind, kind, str(target)])
            done.append(target)
        (root / "dev").chmod(0o755)
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            os.mknod(root / "dev" / name, stat.S_IFCHR, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)
        for name, link in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            (root / "dev" / name).symlink_to(f"/proc/self/fd{link}")
        yield root
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "--lazy", str(target)], check=False)


def chroot(root: Path, *command: str) -> list[str]:
    """The command that runs a command in the root."""
    return [shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin") or "/usr/sbin/chroot", str(root), *command]


def run_in(root: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the root as user data is run: no terminal, next to no environment."""
    return subprocess.run(
        chroot(root, *command),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1200,
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Debian's os-release is a link into /usr/lib; this replaces the link and not what it points to.
    path.unlink(missing_ok=True)
    path.write_text(text)


def _run(command: list[str], cwd: Path | None = None) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ToolError(f"{command[0]} ended with code {done.returncode}:\n{tail}")
