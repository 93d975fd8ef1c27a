"""The dnf stand-in: a Debian root with the real dnf and rpm, which calls itself Amazon Linux 2023.

It proves what dnf and rpm do with our commands, and what systemd, the kernel and cloud-init do with our files. It does
not prove Amazon Linux's own kernel, packages, repositories, SELinux policy or cloud-init version: kernel, systemd and
cloud-init are Debian's, and `ipvsadm` is Debian's binary in an RPM made here. nodeadm is a stand-in whose units are
ordered and joined as those of the EKS image (`NODEADM_UNITS`): it proves what systemd makes of them, not nodeadm.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from amigen.base.processes import find_program, run_tool
from amigen.platforms import PLATFORMS
from amigen.vm.apt_sources import sources_of_machine
from amigen.vm.bases import Base, pack_root
from amigen.vm.cache import cache_key, cached
from amigen.vm.debian_root import RootRecipe, in_root, make_root
from amigen.vm.image import VmImage

RECIPE = 4
PACKAGES = ("dnf", "rpm", "ipvsadm", "libpopt0", "libnl-3-200", "libnl-genl-3-200")
REPOSITORY = "srv/standin-repository"
# Moved here as the last step: with both there, testinfra and scripts would take dpkg for the package manager.
HIDDEN = "usr/lib/debian-tools"
_DEBIAN_TOOLS = (
    "dpkg",
    "dpkg-query",
    "dpkg-deb",
    "dpkg-divert",
    "apt",
    "apt-get",
    "apt-cache",
    "apt-mark",
    "apt-config",
)

_OS_RELEASE = """\
NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023 (stand-in made of Debian)"
"""
_REPO = """\
[amazonlinux]
name=Stand-in repository
baseurl=file:///srv/standin-repository
gpgcheck=0
enabled=1
"""
# As in awslabs/amazon-eks-ami, templates/al2023/runtime/rootfs/etc/systemd/system, but for what is Debian's: its
# cloud-init.service comes before sysinit.target (hence DefaultDependencies=no, and after the look for a seed), and its
# cloud-final.service after multi-user.target (hence cloud-init.target, where Amazon's has multi-user.target).
NODEADM_UNITS = {
    "nodeadm-config.service": """\
[Unit]
Description=Stand-in for EKS Nodeadm Config
DefaultDependencies=no
After=cloud-init-local.service
Before=cloud-init.service
[Service]
Type=oneshot
ExecStart=/usr/bin/nodeadm init --skip run
[Install]
WantedBy=multi-user.target
""",
    "nodeadm-run.service": """\
[Unit]
Description=Stand-in for EKS Nodeadm Run
After=nodeadm-config.service cloud-final.service
Requires=nodeadm-config.service
[Service]
Type=oneshot
ExecStart=/usr/bin/nodeadm init --skip config
[Install]
WantedBy=cloud-init.target
""",
    "kubelet.service": """\
[Unit]
Description=Stand-in for kubelet
[Service]
ExecStart=/bin/sh -c 'grep -c ^ip_vs /proc/modules >/run/kubelet-saw; exec sleep infinity'
[Install]
WantedBy=multi-user.target
""",
}
# The real one asks the instance metadata service for the user data, and has no configuration where that has no
# NodeConfig (https://github.com/awslabs/amazon-eks-ami/issues/2426).
_NODEADM = """\
#!/bin/sh
case $* in
  *'skip run'*)
    mkdir -p /run/nodeadm
    mount -o ro /dev/disk/by-label/cidata /run/nodeadm || exit 1
    grep -qs node.eks.aws /run/nodeadm/user-data
    found=$?
    umount /run/nodeadm
    exit "$found"
    ;;
  *) systemctl start kubelet ;;
esac
"""
# Modules of Debian's cloud-init that call dpkg; Amazon's cloud.cfg does not name them.
_DEBIAN_MODULES = ("apt-configure", "apt-pipelining", "grub-dpkg")
# Older first: the newest is what `dnf install ipvsadm` takes, the older one is for pinned versions.
IPVSADM_VERSIONS = ("1.30", "1.31")


def dnf_standin(log: Callable[[str], None] = print) -> Path:
    """The folder with the stand-in: `root/` (a root file system, not to be changed) and a disk image of it."""
    fact = PLATFORMS["debian-12"]
    recipe = RootRecipe(
        title=fact.title,
        codename=fact.codename,
        arch="amd64",
        kernel_package="linux-image-cloud-amd64",
        login_user=PLATFORMS["al2023"].local_user,
        sources=sources_of_machine(fact),
        packages=PACKAGES,
    )
    key = cache_key("dnf-standin", {**recipe.inputs(), "standin": RECIPE})
    return cached("testbed", key, lambda folder: _make(recipe, folder, log), log=log)


def dnf_standin_base(log: Callable[[str], None] = print) -> Base:
    """The stand-in as a base image for a VM."""
    folder = dnf_standin(log)
    return Base(
        image=VmImage.at(folder / "disk.qcow2"),
        user=PLATFORMS["al2023"].local_user,
        says="dnf stand-in for Amazon Linux 2023 (Debian with dnf and rpm)",
        digest=folder.name,
    )


def dnf_standin_root(target: Path, log: Callable[[str], None] = print) -> Path:
    """A private copy of the root, for chroot, in the (not yet existing) folder `target`."""
    run_tool(
        ["cp", "-a", "--reflink=auto", str(dnf_standin(log) / "root"), str(target)], doing="copy the root", timeout=300
    )
    return target


def _make(recipe: RootRecipe, folder: Path, log: Callable[[str], None]) -> None:
    work = folder.parent / "work"
    work.mkdir()
    root = work / "root"
    make_root(recipe, root, log=log)
    log("turn it into the dnf stand-in")
    _leave_out(root / "etc/cloud/cloud.cfg")
    turn_into_amazon_linux(root, work)
    pack_root(root, folder, log=log)
    root.rename(folder / "root")
    shutil.rmtree(work)


def _leave_out(config: Path) -> None:
    left_out = [f"- {module}" for module in _DEBIAN_MODULES]
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if line.strip() not in left_out))


def turn_into_amazon_linux(root: Path, work: Path) -> None:
    """Make the stand-in of a Debian root that has the packages `PACKAGES`."""
    _make_repository(root, work)
    # Its libraries stay, they were asked for by name.
    in_root(root, ["dpkg", "--purge", "ipvsadm"])
    in_root(root, ["rpm", "--initdb"])
    _write(root / "etc/yum.repos.d/amazonlinux.repo", _REPO)
    _write(root / "etc/dnf/vars/releasever", "2023\n")
    # Debian's is a link into /usr/lib; this replaces the link and not what it points to.
    (root / "etc/os-release").unlink()
    _write(root / "etc/os-release", _OS_RELEASE)
    _add_nodeadm(root)
    _hide(root)


def _add_nodeadm(root: Path) -> None:
    """kubelet is not enabled: nodeadm starts it."""
    _write(root / "usr/bin/nodeadm", _NODEADM)
    (root / "usr/bin/nodeadm").chmod(0o755)
    units = root / "etc/systemd/system"
    for name, text in NODEADM_UNITS.items():
        _write(units / name, text)
        target = text.rpartition("WantedBy=")[2].strip()
        if name != "kubelet.service":
            (units / f"{target}.wants").mkdir(exist_ok=True)
            (units / f"{target}.wants" / name).symlink_to(f"/etc/systemd/system/{name}")


def _make_repository(root: Path, work: Path) -> None:
    repository = root / REPOSITORY
    repository.mkdir(parents=True)
    for version in IPVSADM_VERSIONS:
        make_rpm(
            work / f"rpm-{version}", repository, name="ipvsadm", version=version, files=[root / "usr/sbin/ipvsadm"]
        )
    createrepo = find_program("createrepo_c", package="createrepo-c", purpose="make the dnf stand-in")
    run_tool([createrepo, "-q", str(repository)], doing="make the repository", timeout=300)


def make_rpm(
    work: Path, repository: Path, *, name: str, version: str, files: list[Path], to: str = "/usr/sbin", pre: str = ""
) -> Path:
    """An RPM that puts these files into a folder; it requires nothing, for the rpm database here knows no libc.

    `pre` is Lua, which rpm itself runs before it unpacks the package.
    """
    rpmbuild = find_program("rpmbuild", package="rpm", purpose="make the dnf stand-in")
    installs = "\n".join(f"install -D -m 0755 {file} %{{buildroot}}{to}/{file.name}" for file in files)
    listed = "\n".join(f"{to}/{file.name}" for file in files)
    script = f"%pre -p <lua>\n{pre}\n" if pre else ""
    spec = f"""\
Name: {name}
Version: {version}
Release: 1.amzn2023
Summary: Stand-in package
License: GPL-2.0-or-later
AutoReqProv: no
%global debug_package %{{nil}}
%global __strip /bin/true
%description
Debian's binary in an RPM, for tests.
{script}
%install
{installs}
%files
{listed}
"""
    work.mkdir()
    (work / "package.spec").write_text(spec)
    command = [
        rpmbuild,
        "-bb",
        "--quiet",
        "--define",
        f"_topdir {work}",
        "--target",
        "x86_64",
        str(work / "package.spec"),
    ]
    run_tool(command, doing=f"make an RPM of {name}", timeout=300)
    [built] = (work / "RPMS").rglob("*.rpm")
    return Path(shutil.copy(built, repository))


def _hide(root: Path) -> None:
    (root / HIDDEN).mkdir(parents=True)
    for tool in _DEBIAN_TOOLS:
        found = root / "usr/bin" / tool
        if found.exists():
            found.rename(root / HIDDEN / tool)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    """Make it and show what dnf says, in a chroot: `python -m tests.testbed.dnf_standin`."""
    folder = dnf_standin()
    print(folder)
    print(subprocess.run(["chroot", str(folder / "root"), "dnf", "--version"], capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
