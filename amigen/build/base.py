"""The image that a local build starts from, as the spec names it: what is known of it before, and the image itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.knowledge import Architecture
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.vm.bases import Base, built_in_base, built_in_recipe, cached_built_in
from amigen.vm.download import UnreachableError, download
from amigen.vm.image import VmImage
from amigen.vm.official import MIRROR, newest, official_image


@dataclass(frozen=True, kw_only=True)
class KnownBase:
    """A base before it is made or downloaded.

    Attributes:
        image: None where it will be downloaded or made.
        to_make: mmdebstrap makes it, and it is not in the cache.
        signed: Its signature must be verified.
    """

    image: VmImage | None = None
    to_make: bool = False
    signed: bool = False


def base_in_words(plan: ImagePlan) -> str:
    """The base, as a spec names it."""
    title, named = PLATFORMS[plan.platform].title, plan.spec.local.bases.get(plan.platform)
    if named is None:
        return f"the newest cloud image of {title}"
    return named.path or named.url or f"a root of {title} by mmdebstrap"


def look_at_base(plan: ImagePlan, architecture: Architecture, spec_folder: Path, *, fresh: bool) -> KnownBase:
    """What is known of the base; nothing is made or downloaded.

    Raises:
        AmigenError: The file does not exist, no image is published, or this machine cannot make one.
    """
    fact, named = PLATFORMS[plan.platform], plan.spec.local.bases.get(plan.platform)
    if named is None:
        return KnownBase(signed=bool(official_image(fact, architecture).signature))
    if named.path is not None:
        return KnownBase(image=VmImage.at(spec_folder / Path(named.path).expanduser(), architecture))
    if named.url is not None:
        return KnownBase()
    mirror = plan.spec.package_sources.mirrors.get(plan.platform)
    _, key = built_in_recipe(plan.platform, architecture, mirror=mirror)
    cached = None if fresh else cached_built_in(key, architecture)
    return KnownBase(image=cached, to_make=cached is None)


def make_base(
    plan: ImagePlan, architecture: Architecture, spec_folder: Path, *, log: Callable[[str], None], fresh: bool
) -> Base:
    """The base: the newest official image, or what the spec names for the platform.

    In a network that is closed but for package sources, mmdebstrap makes a root in place of the official image.

    Args:
        spec_folder: What paths in the spec are relative to.
        log: Receives one line for each thing that takes time.
        fresh: Do not use what is cached.

    Raises:
        InputError: The file is not there or is not an image; a download fails, or has another checksum or signature.
        ToolError: The base cannot be made here.
    """
    fact, local = PLATFORMS[plan.platform], plan.spec.local
    named, uefi = local.bases.get(plan.platform), local.firmware == "uefi"
    mirror = plan.spec.package_sources.mirrors.get(plan.platform)
    of_packages = partial(built_in_base, plan.platform, architecture, log=log, mirror=mirror, fresh=fresh)
    if named is None:
        try:
            found = newest(official_image(fact, architecture))
        except UnreachableError as error:
            if uefi or os.environ.get(MIRROR):
                raise
            way = f"local.bases.{plan.platform}.mmdebstrap"
            log(f"{error.message}; making a root by mmdebstrap in its place, as {way} does")
            try:
                return of_packages()
            except ToolError as reason:
                log(f"it cannot be made here: {reason.message}")
                raise error from None
        image = VmImage.at(download(found.url, found.checksum, log=log, fresh=fresh), architecture, uefi=uefi)
        return Base(image=image, user=fact.local_user, says=f"{found.url}, {found.proof}", url=found.url)
    if named.mmdebstrap:
        return of_packages()
    user = named.user or fact.local_user
    if named.path is not None:
        path = spec_folder / Path(named.path).expanduser()
        return Base(image=VmImage.at(path, architecture, uefi=uefi), user=user, says=str(path))
    # The rules of the spec want one of them, and a checksum with each URL.
    assert named.url is not None
    assert named.sha256 is not None
    image = VmImage.at(download(named.url, named.sha256, log=log, fresh=fresh), architecture, uefi=uefi)
    return Base(image=image, user=user, says=named.url, digest=f"sha256:{named.sha256}")
