"""What a build needs on this machine: all of it is looked for before anything begins, and all that lacks is said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amigen.base.errors import InputError, ToolError
from amigen.build.run import Job
from amigen.platforms import PLATFORMS
from amigen.vm.bases import built_in_recipe, cached_built_in
from amigen.vm.image import VmImage
from amigen.vm.needs import SSH, missing_firmware, missing_for_a_vm, missing_programs
from amigen.vm.official import GPGV, official_image

_PLUGIN = (
    "session-manager-plugin:"
    " https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
_BUILT_IN = (
    (("mmdebstrap",), "mmdebstrap", "make the built-in base"),
    (("unshare",), "util-linux", "make the built-in base"),
    (("mke2fs",), "e2fsprogs", "make a file system"),
)
# Packer's, which opens the tunnel (https://developer.hashicorp.com/packer/integrations/hashicorp/amazon).
_SESSION_MANAGER = ((("session-manager-plugin",), _PLUGIN, "reach the builder over Session Manager"),)


@dataclass(frozen=True, kw_only=True)
class LocalBase:
    """The base of a local image, as far as it is there.

    Attributes:
        image: None where it will be downloaded or made.
        to_make: mmdebstrap makes it, and it is not in the cache.
        signed: Its signature must be verified.
    """

    image: VmImage | None = None
    to_make: bool = False
    signed: bool = False


def find_local_base(job: Job, spec_folder: Path, *, fresh: bool = False) -> LocalBase:
    """The base that a build would start from; nothing is made or downloaded.

    Raises:
        AmigenError: The file does not exist, or this machine cannot make a built-in base.
    """
    platform, named = job.plan.platform, job.plan.spec.local.bases.get(job.plan.platform)
    if named is None:
        return LocalBase(signed=bool(official_image(PLATFORMS[platform], job.architecture).signature))
    if named.mmdebstrap:
        mirror = job.plan.spec.package_sources.mirrors.get(platform)
        _, key = built_in_recipe(platform, job.architecture, mirror=mirror)
        image = cached_built_in(key, job.architecture)
        return LocalBase(image=None if fresh else image, to_make=fresh or image is None)
    if named.path is None:
        return LocalBase()
    return LocalBase(image=VmImage.at(spec_folder / Path(named.path).expanduser(), job.architecture))


def lacking(
    jobs: Sequence[Job], target: Literal["local", "aws"], spec_folder: Path, *, fresh: bool = False
) -> list[ToolError]:
    """What is not here, each once."""
    found = {error.message: error for job in jobs for error in _of_job(job, target, spec_folder, fresh)}
    return list(found.values())


def _of_job(job: Job, target: Literal["local", "aws"], spec_folder: Path, fresh: bool) -> Iterator[ToolError]:
    if target == "aws":
        yield from missing_programs(SSH)
        if job.plan.spec.aws.communicator == "session-manager":
            yield from missing_programs(_SESSION_MANAGER)
        return
    yield from missing_for_a_vm(job.architecture)
    try:
        base = find_local_base(job, spec_folder, fresh=fresh)
    except (InputError, ToolError):
        # Only this image fails; the others continue.
        return
    if base.to_make:
        yield from missing_programs(_BUILT_IN)
        if os.getuid() != 0:
            yield ToolError("the built-in base can only be made by root", "use sudo, or name one under local.bases")
    if base.signed:
        yield from missing_programs((GPGV,))
    boot_loader = not base.to_make and (base.image is None or base.image.kernel is None)
    if boot_loader and (job.architecture == "arm64" or job.plan.spec.local.firmware == "uefi"):
        yield from missing_firmware(job.architecture)
