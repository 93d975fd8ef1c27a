"""What publishing needs of a build: which images there are, and that their checks have passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from amigen.base.errors import ConflictError, InputError, RefusedError
from amigen.base.files import MissingFileError, read_file
from amigen.publish.names import Target
from amigen.spec.load import spec_digest
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform

_NAME_IT = "name the record.json that `amigen build` wrote"


class _Kernel(Struct):
    running: str = ""


class _Image(Struct, rename="camel"):
    """What is read of an image; a record holds more."""

    platform: Platform
    architecture: Architecture
    region: str = ""
    image_id: str = ""
    verified: bool = False
    source_image: str = ""
    kernel: _Kernel | None = None

    def target(self, spec: NodeImage) -> Target:
        return Target(name=spec.name, platform=self.platform, architecture=self.architecture)


class _Record(Struct, rename="camel"):
    spec_digest: str
    finished_at: Annotated[datetime, Meta(tz=True)]
    images: tuple[_Image, ...]


@dataclass(frozen=True, kw_only=True)
class ProvenImage:
    """An image in the region of its build, with passed checks.

    Attributes:
        digest: Digest of the spec that it was built from.
        source: The AMI it was made from; empty where the build did not say.
        built: When the build ended, in UTC.
    """

    target: Target
    region: str
    image: str
    digest: str
    source: str
    built: datetime


def read_images(path: Path, spec: NodeImage) -> tuple[ProvenImage, ...]:
    """The proven images of a build record.

    Raises:
        InputError: There is no record, or it cannot be read.
        RefusedError: It holds an image whose checks have not passed.
    """
    record = _read(path)
    return tuple(_proven(record, each, each.target(spec), path) for each in record.images)


def images_of(path: Path, spec: NodeImage, targets: Sequence[Target], *, keep_image: bool) -> list[ProvenImage]:
    """The proven images of these targets, built of this very spec, unless the caller wants to `keep_image`.

    Raises:
        InputError: As `read_images`; or the build did not make them all.
        RefusedError: As `read_images`; or the spec has changed since the build.
    """
    found = [each for each in read_images(path, spec) if each.target in targets]
    if missing := [each.key for each in targets if each not in [image.target for image in found]]:
        raise InputError(f"{path} has no image of {', '.join(missing)}", "build them, or choose with --platform")
    digest = spec_digest(spec)
    if not keep_image and (other := next((each for each in found if each.digest != digest), None)):
        raise RefusedError(
            f"the spec has changed since {other.image} was built"
            f" (digest {digest[:12]}, the image has {other.digest[:12]})",
            "build again; or, if what changed is not in the image (launch template, sharing, tags), use --keep-image",
        )
    return found


def recorded_amis(path: Path, spec: NodeImage) -> Mapping[str, dict[str, str]]:
    """Platform -> architecture -> AMI id in the region of the spec, of images whose checks have passed.

    Raises:
        ConflictError: They were built of another spec.
        InputError, RefusedError: As `read_images`.
    """
    found: dict[str, dict[str, str]] = {}
    for each in read_images(path, spec):
        if each.digest != spec_digest(spec):
            raise ConflictError(
                f"{path}: {each.image} was built of another state of the spec", "build again, or restore the spec"
            )
        if each.region == spec.aws.region:
            found.setdefault(each.target.platform, {})[each.target.architecture] = each.image
    return found


def _read(path: Path) -> _Record:
    try:
        return msgspec.json.decode(read_file(path, hint=_NAME_IT), type=_Record)
    except MissingFileError:
        raise InputError(
            f"no build record at {path}", "build first (`amigen build SPEC --target aws`), or name it with --record"
        ) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a build record: {error}", _NAME_IT) from None


def _proven(record: _Record, image: _Image, target: Target, path: Path) -> ProvenImage:
    if not (image.image_id and image.region):
        raise InputError(
            f"{path}: {target.key} is not an AMI; it is a local image, or its build failed",
            "build it with `amigen build SPEC --target aws`",
        )
    if not image.verified:
        raise RefusedError(
            f"{path}: the checks of {target.key} ({image.image_id}) have not passed", "build and verify it again"
        )
    return ProvenImage(
        target=target,
        region=image.region,
        image=image.image_id,
        digest=record.spec_digest,
        source=image.source_image,
        built=record.finished_at,
    )


def default_path(spec: NodeImage) -> Path:
    """Where `amigen build --target aws` puts the record of a spec."""
    return Path("amigen-build") / spec.name / "record.json"


def last_bases(path: Path, spec: NodeImage, *, required: bool) -> dict[Target, tuple[str, str]]:
    """The base image that the last build of each target used, and the kernel that its builder ran, as `uname -r`.

    Whatever came of that build: an image that was not verified was made of its base all the same. Either is empty where
    the record does not say it; no targets where there is no record and none is required.

    Raises:
        InputError: The record is required and not there, or it cannot be read.
    """
    if not required and not path.exists():
        return {}
    images = _read(path).images
    return {each.target(spec): (each.source_image, each.kernel.running if each.kernel else "") for each in images}
