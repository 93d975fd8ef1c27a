"""The base image of a local build, and the root that mmdebstrap makes for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.paths import cache_home
from amigen.base.processes import run_tool
from amigen.knowledge import Architecture
from amigen.platforms import PLATFORMS
from amigen.platforms.model import Mirror
from amigen.vm.acceleration import machine_architecture, runs_programs_of
from amigen.vm.apt_sources import sources_of_machine, sources_of_mirror
from amigen.vm.cache import cache_key, cached
from amigen.vm.debian_root import RootRecipe, make_disk, make_root, take_kernel
from amigen.vm.image import VmImage, qemu_img

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
    says: str
    digest: str = ""
    url: str = ""


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
    image = VmImage.at(folder / "disk.qcow2", architecture)
    return Base(image=image, user=fact.local_user, says=f"built-in root of {fact.title}", digest=key)


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
            " arch-test and mount binfmt_misc, with which mmdebstrap runs programs of another architecture",
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
    return VmImage.at(folder / "disk.qcow2", architecture) if folder.is_dir() else None


def _make(recipe: RootRecipe, folder: Path, log: Callable[[str], None]) -> None:
    work = folder.parent / "work"
    work.mkdir()
    root = work / "root"
    make_root(recipe, root, log=log)
    pack_root(root, folder, log=log)
    shutil.rmtree(work)


def pack_root(root: Path, folder: Path, *, log: Callable[[str], None]) -> None:
    """A qcow2 of the root with its kernel and initrd beside it, as `disk.qcow2`, `disk.vmlinuz`, `disk.initrd`."""
    take_kernel(root, folder)
    raw = folder / "disk.raw"
    make_disk(root, raw, size_gib=BUILT_IN_GIB, log=log)
    command = qemu_img("convert", "-q", "-O", "qcow2", str(raw), str(folder / "disk.qcow2"))
    run_tool(command, doing="make a disk image", timeout=600)
    raw.unlink()
