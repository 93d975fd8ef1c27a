"""Throw-away roots to run rendered scripts in, with the real package managers.

`apt_root`: this machine's own distribution by mmdebstrap. On Debian it stands in for Ubuntu: the same apt and dpkg;
its `/etc/os-release` is Ubuntu's. It does not prove anything about Ubuntu's archive or kernels.

`dnf_root`: the real dnf and rpm on a Debian root that stands in for Amazon Linux 2023: its os-release, a local
repository with an ipvsadm RPM made by rpmbuild of Debian's binary, dpkg moved away. It proves what dnf and rpm
do with amigen's commands. It does not prove AL2023's own kernel, repositories or SELinux.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amigen.errors import ToolError
from amigen.vm.apt_sources import AptSources, sources_of_machine
from amigen.vm.cache import cache_key, cached

# Raised when this module makes something else out of the same inputs.
RECIPE = 2

_COMMON = ("kmod", "procps", "systemd", "util-linux", "bsdutils")
_IPVSADM_LIBRARIES = ("libnl-3-200", "libnl-genl-3-200", "libpopt0")
_UBUNTU_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04 LTS (Debian stands in for it)"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
"""
_AL2023_RELEASE = """\
NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023 (a Debian root with dnf stands in for it)"
"""
_RPM_SPEC = """\
Name: ipvsadm
Version: 1.31
Release: 1.standin
Summary: Utility to administer the Linux Virtual Server (stand-in)
License: GPLv2
AutoReqProv: no
%description
Debian's binary as an RPM, to prove what dnf and rpm do.
%install
mkdir -p %{buildroot}/usr/sbin
cp %{binary} %{buildroot}/usr/sbin/ipvsadm
%files
/usr/sbin/ipvsadm
"""
_REPOSITORY = """\
[amazonlinux]
name=Stand-in for the repository of Amazon Linux 2023
baseurl=file:///srv/repository
enabled=1
gpgcheck=0
"""


def distribution() -> tuple[str, str]:
    """`ID` and codename of this machine."""
    lines = (line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    release = {key: value.strip('"') for key, value in lines}
    return release["ID"], release["VERSION_CODENAME"]


def apt_root(target: Path, log: Callable[[str], None] = print) -> Path:
    """A new apt root in `target`."""
    _unpack(_base("apt", _COMMON, log), target)
    if distribution()[0] == "debian":
        _write(target / "etc/os-release", _UBUNTU_RELEASE)
    return target


def dnf_root(target: Path, log: Callable[[str], None] = print) -> Path:
    """A new stand-in of AL2023 in `target`."""
    key = cache_key("dnf", [RECIPE, distribution(), _RPM_SPEC])
    _unpack(cached("roots", key, lambda folder: _make_dnf(folder, log), log=log) / "root.tar", target)
    return target


def _base(name: str, packages: tuple[str, ...], log: Callable[[str], None]) -> Path:
    sources = sources_of_machine(*distribution())
    key = cache_key(name, [RECIPE, sources.lines, packages])
    return (
        cached("roots", key, lambda folder: _mmdebstrap(folder / "root.tar", sources, packages, log), log=log)
        / "root.tar"
    )


def _mmdebstrap(target: Path, sources: AptSources, packages: tuple[str, ...], log: Callable[[str], None]) -> None:
    log(f"making a root with mmdebstrap ({', '.join(packages)}); the next time it comes from the cache")
    options = [f"--aptopt={option}" for option in sources.options]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--dpkgopt=path-exclude=/usr/share/doc/*", *options]
    _run([*command, f"--include={','.join(packages)}", distribution()[1], str(target), *sources.lines])


def _make_dnf(folder: Path, log: Callable[[str], None]) -> None:
    root = folder / "root"
    _unpack(_base("dnf-base", (*_COMMON, *_IPVSADM_LIBRARIES, "dnf", "rpm"), log), root)
    _write(root / "etc/os-release", _AL2023_RELEASE)
    _write(root / "etc/dnf/vars/releasever", "2023\n")
    _write(root / "etc/yum.repos.d/amazonlinux.repo", _REPOSITORY)
    _make_repository(folder / "work", root / "srv/repository")
    _run(["chroot", str(root), "rpm", "--initdb"])
    # testinfra and our own scripts would find dpkg first; only after this nothing of Debian's package manager is seen.
    aside = root / "usr/lib/dpkg-aside"
    aside.mkdir()
    for name in ("dpkg", "dpkg-query", "apt-get", "apt"):
        shutil.move(root / "usr/bin" / name, aside / name)
    _run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(folder / "root.tar"), "."])
    shutil.rmtree(root)
    shutil.rmtree(folder / "work")


def _make_repository(work: Path, repository: Path) -> None:
    work.mkdir()
    repository.mkdir(parents=True)
    _run(["apt-get", "download", "ipvsadm"], cwd=work)
    _run(["dpkg-deb", "-x", str(next(work.glob("ipvsadm_*.deb"))), str(work / "deb")])
    _write(work / "ipvsadm.spec", _RPM_SPEC)
    binary = f"binary {work / 'deb/sbin/ipvsadm'}"
    _run(
        [
            "rpmbuild",
            "-bb",
            "--define",
            f"_topdir {work}",
            "--define",
            f"_rpmdir {repository}",
            "--define",
            binary,
            str(work / "ipvsadm.spec"),
        ]
    )
    _run(["createrepo_c", str(repository)])


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _run(["tar", "-C", str(target), "--numeric-owner", "-xpf", str(archive)])
    # The machine's resolver, so that apt in there finds the mirror.
    shutil.copyfile("/etc/resolv.conf", target / "etc/resolv.conf")


@contextmanager
def mounted(root: Path) -> Iterator[Path]:
    """The root with /proc and a /dev, which package managers and bash's process substitution need."""
    mounts = [("proc", root / "proc", ["-t", "proc"]), ("/dev", root / "dev", ["--bind"])]
    done: list[Path] = []
    try:
        for source, target, options in mounts:
            _run(["mount", *options, source, str(target)])
            done.append(target)
        yield root
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "--lazy", str(target)], check=False)


def run_in(root: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the root as user data is run: no terminal, next to no environment."""
    chroot = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin") or "/usr/sbin/chroot"
    return subprocess.run(
        [chroot, str(root), *command],
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
