"""What publishing needs of a build: which images there are, and that their checks have passed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from amigen.base.errors import ConflictError, InputError, RefusedError
from amigen.base.files import MissingFileError, read_file
from amigen.publish.names import Target
from amigen.spec.load import spec_digest
from amigen.spec.model import NodeImage

_T = TypeVar("_T")


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
    return _each(path, lambda document, each: _image(document, each, spec, path))


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


def _each(path: Path, read: Callable[[dict[str, Any], dict[str, Any]], _T]) -> tuple[_T, ...]:
    """What is read of each image of a record."""
    try:
        document = json.loads(read_file(path, hint="name the record.json that `amigen build` wrote"))
    except MissingFileError:
        raise InputError(
            f"no build record at {path}", "build first (`amigen build SPEC --target aws`), or name it with --record"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"cannot read the build record {path}: {error}", "name the record.json that `amigen build` wrote"
        ) from None
    try:
        return tuple(read(document, each) for each in document["images"])
    except KeyError as error:
        raise InputError(f"{path} is not a build record: it has no {error.args[0]}", "build again") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a build record: {error}", "build again") from None


def _image(document: dict[str, Any], each: dict[str, Any], spec: NodeImage, path: Path) -> ProvenImage:
    target = _target(each, spec)
    if not (each["imageId"] and each["region"]):
        raise InputError(
            f"{path}: {target.key} is not an AMI; it is a local image, or its build failed",
            "build it with `amigen build SPEC --target aws`",
        )
    if each.get("verified") is not True:
        raise RefusedError(
            f"{path}: the checks of {target.key} ({each['imageId']}) have not passed", "build and verify it again"
        )
    return ProvenImage(
        target=target,
        region=each["region"],
        image=each["imageId"],
        digest=document["specDigest"],
        source=each.get("sourceImage", ""),
        built=datetime.fromisoformat(document["finishedAt"].replace("Z", "+00:00")),
    )


def _target(each: dict[str, Any], spec: NodeImage) -> Target:
    return Target(name=spec.name, platform=each["platform"], architecture=each["architecture"])


def default_path(spec: NodeImage) -> Path:
    """Where `amigen build --target aws` puts the record of a spec."""
    return Path("amigen-build") / spec.name / "record.json"


def require_all(proven: Sequence[ProvenImage], wanted: Sequence[Target], path: Path) -> None:
    """Every wanted target has its image.

    Raises:
        InputError: The build did not make them all.
    """
    missing = [each.key for each in wanted if each not in [p.target for p in proven]]
    if missing:
        raise InputError(f"{path} has no image of {', '.join(missing)}", "build them, or choose with --platform")


def last_kernels(path: Path, spec: NodeImage) -> dict[Target, str]:
    """The kernel that the builder of the last build of each target ran, as `uname -r`; empty where nothing says it.

    Raises:
        InputError: The record cannot be read.
    """
    if not path.exists():
        return {}
    return dict(_each(path, lambda _, each: (_target(each, spec), str((each.get("kernel") or {}).get("running", "")))))


def last_sources(path: Path, spec: NodeImage, *, required: bool) -> dict[Target, str]:
    """The base image that the last build of each target used; empty where there is no record and none is required.

    Whatever came of that build: an image that was not verified was made of its base all the same.

    Raises:
        InputError: It is required and not there, or it cannot be read.
    """
    if not required and not path.exists():
        return {}
    return dict(_each(path, lambda _, each: (_target(each, spec), str(each.get("sourceImage") or ""))))
