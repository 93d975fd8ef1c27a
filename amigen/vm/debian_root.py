"""A root of Debian or Ubuntu made by mmdebstrap, and a disk of it without mounts, loop devices or a boot loader."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.processes import find_program, run_tool
from amigen.vm.acceleration import machine_architecture
from amigen.vm.apt_sources import AptSources

# Raised when this module makes something else out of the same inputs.
RECIPE = 1

_PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd-sysv",
    "udev",
)

# 150 MB that cloud images do not have either.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

_FILES = {
    # A small initrd: with MODULES=most an emulated boot takes twice as long.
    "etc/initramfs-tools/conf.d/amigen": "MODULES=list\n",
    "usr/share/initramfs-tools/modules.d/amigen": "virtio_pci\nvirtio_blk\nvirtio_net\next4\n",
    # The kernel is started from outside; links in / show which one.
    "etc/kernel-img.conf": "do_symlinks = yes\n",
}
_FILES_AFTER = {
    "etc/systemd/network/20-wired.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
    # cloud-init would write for ifupdown and match by a name that never comes up.
    "etc/cloud/cloud.cfg.d/90-network.cfg": "network: {config: disabled}\n",
    # Only the seed disk; probing for clouds that cannot be here costs seconds.
    "etc/cloud/cloud.cfg.d/90-datasource.cfg": "datasource_list: [NoCloud, None]\n",
    # The only locale that a minimal root has; its own package sources; no boot loader to ask about; one host key
    # (under emulation the three usual ones take 15 seconds at first boot).
    "etc/cloud/cloud.cfg.d/90-root.cfg": (
        "locale: C.UTF-8\napt: {preserve_sources_list: true}\ngrub_dpkg: {enabled: false}\nssh_genkeytypes: [ed25519]\n"
    ),
    # QEMU's user network answers DNS here.
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/hostname": "localhost\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
    "etc/machine-id": "",
}


@dataclass(frozen=True, kw_only=True)
class RootRecipe:
    """All that decides what the root will be.

    Attributes:
        arch: The distribution's word for the architecture.
        login_user: Default user of cloud-init, with sudo and without a password.
        packages: Packages besides those that every root has.
    """

    title: str
    codename: str
    arch: str
    kernel_package: str
    login_user: str
    sources: AptSources
    packages: tuple[str, ...] = ()

    def inputs(self) -> dict[str, object]:
        """What a cache key is made of."""
        return {"recipe": RECIPE, "files": {**_FILES, **_FILES_AFTER}, "base": _PACKAGES, **asdict(self)}


def make_root(recipe: RootRecipe, root: Path, *, log: Callable[[str], None]) -> None:
    """Make the root in the (new) folder.

    Raises:
        ToolError: Not root, mmdebstrap is missing, or it failed; holds its last words.
    """
    program = find_program("mmdebstrap", package="mmdebstrap", purpose="make the built-in base")
    if os.getuid() != 0:
        raise ToolError(
            "the built-in base can only be made by root", "run it with sudo, or name a base image under local.bases"
        )
    own = recipe.arch == {"x86_64": "amd64", "arm64": "arm64"}[machine_architecture()]
    minutes = "about a minute" if own else "its programs are emulated: about ten minutes"
    log(f"make a root of {recipe.title} ({recipe.arch}) with mmdebstrap ({minutes})")
    before, sources = root.parent / "before", root.parent / "sources.list"
    _write_files(before, _FILES)
    sources.write_text("".join(f"{line}\n" for line in recipe.sources.lines))
    # Its mounts (of /dev, /proc and /sys) in a name space of their own: they end with it, even when it is killed.
    unshare = find_program("unshare", package="util-linux", purpose="make the built-in base")
    command = [
        *(unshare, "--mount", "--propagation", "private", "--"),
        *(program, "--mode=root", "--variant=minbase", f"--architectures={recipe.arch}", "--quiet"),
        f"--include={','.join(sorted({*_PACKAGES, recipe.kernel_package, *recipe.packages}))}",
        *(f"--aptopt={option}" for option in recipe.sources.options),
        *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
        f"--setup-hook=copy-in {shlex.quote(str(before / 'etc'))} {shlex.quote(str(before / 'usr'))} /",
        *(recipe.codename, str(root), str(sources)),
    ]
    run_tool(command, doing=f"make a root of {recipe.codename}", timeout=1800, env=_environment())
    _finish(recipe, root)
    shutil.rmtree(before)
    sources.unlink()


def _finish(recipe: RootRecipe, root: Path) -> None:
    user = recipe.login_user
    default_user = (
        f"system_info:\n  default_user:\n    name: {user}\n    lock_passwd: true\n    gecos: {user}\n"
        f'    groups: [sudo, adm]\n    sudo: ["ALL=(ALL) NOPASSWD:ALL"]\n    shell: /bin/bash\n'
    )
    for path in ("etc/resolv.conf", "etc/apt/apt.conf.d/99mmdebstrap"):
        (root / path).unlink(missing_ok=True)
    _write_files(root, {**_FILES_AFTER, "etc/cloud/cloud.cfg.d/90-user.cfg": default_user})
    if recipe.sources.options:
        options = "".join(f"{option};\n" for option in recipe.sources.options)
        _write_files(root, {"etc/apt/apt.conf.d/90build-machine": options})
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    in_root(root, ["systemctl", "-q", "enable", "systemd-networkd", "ssh"])
    # As in a cloud's image factory: nothing else may hold the package manager's lock during a build.
    in_root(root, ["systemctl", "-q", "disable", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap"])


def in_root(root: Path, command: Sequence[str]) -> str:
    """Run a command inside the root by chroot; its stdout."""
    chroot = find_program("chroot", package="coreutils", purpose="work in a root")
    return run_tool([chroot, str(root), *command], doing=f"run {command[0]} in {root}", timeout=600, env=_environment())


def make_disk(root: Path, disk: Path, *, size_gib: int, log: Callable[[str], None]) -> None:
    """A raw, sparse disk that is one ext4 file system with the content of the root."""
    log("make a disk of it")
    mke2fs = find_program("mke2fs", package="e2fsprogs", purpose="make a file system")
    with disk.open("wb") as file:
        file.truncate(size_gib << 30)
    run_tool(
        [mke2fs, "-q", "-F", "-t", "ext4", "-L", "root", "-d", str(root), str(disk)], doing="make a disk", timeout=600
    )


def take_kernel(root: Path, folder: Path) -> None:
    """Copy the newest kernel and its initrd out of a root as `disk.vmlinuz` and `disk.initrd`.

    So they and `/lib/modules` are of one version.

    Raises:
        ToolError: The root has no kernel with an initrd.
    """
    for link, name in (("vmlinuz", "disk.vmlinuz"), ("initrd.img", "disk.initrd")):
        found = [place / link for place in (root, root / "boot") if (place / link).is_symlink()]
        if not found:
            raise ToolError(f"the root {root} has no {link}")
        # The link may be absolute: it is meant inside the root.
        shutil.copyfile(root / "boot" / found[0].readlink().name, folder / name)


def _write_files(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "TMPDIR": os.environ.get("TMPDIR", tempfile.gettempdir()),
    }
