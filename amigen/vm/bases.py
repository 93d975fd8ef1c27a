"""The image that a local build starts from: the official one, a file, a download, or a root made by mmdebstrap."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from amigen.base.errors import InputError, ToolError
from amigen.base.paths import cache_home
from amigen.base.processes import find_program, run_tool
from amigen.knowledge import Architecture
from amigen.platforms import PLATFORMS
from amigen.platforms.model import Mirror, PlatformFact
from amigen.vm.acceleration import machine_architecture, runs_programs_of
from amigen.vm.apt_sources import sources_of_machine, sources_of_mirror
from amigen.vm.cache import cache_key, cached
from amigen.vm.debian_root import RootRecipe, make_disk, make_root, take_kernel
from amigen.vm.download import download
from amigen.vm.image import KERNEL_SUFFIX, VmImage
from amigen.vm.official import newest, official_image

# Of the built-in disk; a build grows it to the spec's size, and cloud-init the file system.
BUILT_IN_GIB = 2


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base image.

    Attributes:
        user: The user that cloud-init lets in.
        says: What it is, for output and the build record.
        digest: What identifies it: `sha256:...` of a download, the cache key of a built-in base, else empty.
        url: Where an official image came from, so that a spec can name it.
    """

    image: VmImage
    user: str
    kind: Literal["official", "file", "url", "built-in"]
    says: str
    digest: str = ""
    url: str = ""


class NamedBase(Protocol):
    """A base that a spec names, in one of three ways; `amigen.spec.model.LocalBase` is one."""

    @property
    def path(self) -> str | None:
        """The file."""
        ...

    @property
    def url(self) -> str | None:
        """The download."""
        ...

    @property
    def sha256(self) -> str | None:
        """The checksum of the download, hexadecimal."""
        ...

    @property
    def mmdebstrap(self) -> bool:
        """Make it from package sources."""
        ...

    @property
    def user(self) -> str | None:
        """The user that cloud-init makes; None: the distribution's."""
        ...


def base_image(
    platform: str,
    architecture: Architecture,
    *,
    named: NamedBase | None,
    mirror: Mirror | None,
    folder: Path,
    uefi: bool = False,
    log: Callable[[str], None],
    fresh: bool = False,
) -> Base:
    """The base that a spec names for this platform, or the official image.

    Args:
        platform: The name of the platform.
        named: What the spec names; None: the newest official image.
        mirror: The package source of a root made by mmdebstrap; None: this machine's own.
        folder: The folder of the spec, to which its paths are relative.
        uefi: On x86_64, start a boot loader by UEFI.
        fresh: Do not use what is cached.

    Raises:
        InputError: The file is not there or is not an image; a download fails, or has another checksum or signature.
        ToolError: The base cannot be made here.
    """
    fact = PLATFORMS[platform]
    if named is None:
        return _official_base(fact, architecture, uefi=uefi, log=log, fresh=fresh)
    if named.mmdebstrap:
        return built_in_base(platform, architecture, log=log, mirror=mirror, fresh=fresh)
    user = named.user or fact.local_user
    if named.path is not None:
        path = folder / Path(named.path).expanduser()
        return Base(image=VmImage.at(path, architecture, uefi=uefi), user=user, kind="file", says=str(path))
    if named.url is None or named.sha256 is None:
        raise InputError(f"local.bases.{platform} names neither a file nor a URL with its sha256")
    image = VmImage.at(download(named.url, named.sha256, log=log, fresh=fresh), architecture, uefi=uefi)
    return Base(image=image, user=user, kind="url", says=named.url, digest=f"sha256:{named.sha256}")


def _official_base(
    fact: PlatformFact, architecture: Architecture, *, uefi: bool, log: Callable[[str], None], fresh: bool
) -> Base:
    found = newest(official_image(fact, architecture))
    says = f"{found.url}, {found.proof}"
    image = VmImage.at(download(found.url, found.checksum, log=log, fresh=fresh), architecture, uefi=uefi)
    return Base(image=image, user=fact.local_user, kind="official", says=says, url=found.url)


def built_in_base(
    platform: str,
    architecture: Architecture,
    *,
    log: Callable[[str], None],
    mirror: Mirror | None = None,
    packages: tuple[str, ...] = (),
    fresh: bool = False,
) -> Base:
    """A root of the platform's release by mmdebstrap, from this machine's apt sources (or the mirror), cached.

    It has the distribution's own packages, kernel and cloud-init, and no boot loader. It is not the cloud image that
    the distribution publishes.

    Raises:
        ToolError: An architecture whose programs cannot be run here, no such release in apt, not root, no mmdebstrap.
    """
    recipe, key = built_in_recipe(platform, architecture, mirror=mirror, packages=packages)
    folder = cached("bases", key, lambda new: _make(recipe, new, log), log=log, fresh=fresh)
    fact = PLATFORMS[platform]
    image = disk_with_kernel(folder, architecture)
    return Base(image=image, user=fact.local_user, kind="built-in", says=f"built-in root of {fact.title}", digest=key)


def built_in_recipe(
    platform: str, architecture: Architecture, *, mirror: Mirror | None = None, packages: tuple[str, ...] = ()
) -> tuple[RootRecipe, str]:
    """What the built-in base is made of, and its key in the cache.

    Raises:
        ToolError: It cannot be made here: the architecture differs, or apt does not know the release.
    """
    fact = PLATFORMS[platform]
    if not fact.kernel_package:
        raise ToolError(
            f"there is no built-in base for {fact.title}",
            f"name a KVM image under local.bases.{platform} (path or url)",
        )
    if architecture != machine_architecture() and not runs_programs_of(architecture):
        raise ToolError(
            f"the built-in base is made for {machine_architecture()} here, not for {architecture}",
            f"remove mmdebstrap under local.bases.{platform} for the official image, or install qemu-user-static and"
            " mount binfmt_misc, which let mmdebstrap run programs of another architecture",
        )
    arch = fact.arch_names[architecture]
    recipe = RootRecipe(
        title=fact.title,
        codename=fact.codename,
        arch=arch,
        kernel_package=fact.kernel_package.format(arch=arch),
        login_user=fact.local_user,
        sources=sources_of_mirror(fact, mirror) if mirror else sources_of_machine(fact),
        packages=packages,
    )
    return recipe, cache_key(f"{platform}-{architecture}", {**recipe.inputs(), "gib": BUILT_IN_GIB})


def cached_built_in(key: str, architecture: Architecture) -> VmImage | None:
    """The built-in base of this key, where it is made already."""
    folder = cache_home() / "bases" / key
    return disk_with_kernel(folder, architecture) if folder.is_dir() else None


def disk_with_kernel(folder: Path, architecture: Architecture) -> VmImage:
    """The image in a folder that `pack_root` filled."""
    disk = folder / "disk.qcow2"
    return VmImage(
        disk=disk,
        format="qcow2",
        architecture=architecture,
        kernel=disk.with_suffix(KERNEL_SUFFIX),
        initrd=disk.with_suffix(".initrd"),
    )


def _make(recipe: RootRecipe, folder: Path, log: Callable[[str], None]) -> None:
    work = folder.parent / "work"
    work.mkdir()
    root = work / "root"
    make_root(recipe, root, log=log)
    pack_root(root, folder, log=log)
    shutil.rmtree(work)


def pack_root(root: Path, folder: Path, *, log: Callable[[str], None], size_gib: int = BUILT_IN_GIB) -> None:
    """A qcow2 of the root with its kernel and initrd beside it, as `disk.qcow2`, `disk.vmlinuz`, `disk.initrd`."""
    take_kernel(root, folder)
    raw = folder / "disk.raw"
    make_disk(root, raw, size_gib=size_gib, log=log)
    qemu_img = find_program("qemu-img", package="qemu-utils", purpose="make a disk image")
    run_tool(
        [qemu_img, "convert", "-q", "-O", "qcow2", str(raw), str(folder / "disk.qcow2")],
        doing="make a disk image",
        timeout=600,
    )
    raw.unlink()
