"""The AMI to build from: which one would be taken now, how old it is, and whether it is newer than the last build's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from amigen.aws import calls
from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, InputError
from amigen.images import kernel
from amigen.plan.source import Source, source_of
from amigen.publish import observe
from amigen.publish.names import Target
from amigen.publish.record import default_path, last_bases
from amigen.publish.state import Image
from amigen.publish.wait import attempt
from amigen.spec.model import NodeImage

Comparison = Literal["same", "newer", "older", "another"]


class BaseRow(Struct, frozen=True, kw_only=True, rename="camel"):
    """The base that a build would start from now, beside that of the last build; as `images base` prints it."""

    platform: str
    architecture: str
    region: str
    source: Annotated[str, Meta(description="Where it was looked up, in words.")] = field(name="from")
    image: str
    name: str
    created: str
    age_days: int | None
    deprecated: str | None
    last_build: Annotated[str | None, Meta(description="The base that the last build used.")]
    newer: bool
    another: bool
    kernel: Annotated[str | None, Meta(description="Kernel series, such as 6.12; null: its name does not say.")]
    last_kernel: Annotated[str | None, Meta(description="Kernel series of the last build.")]
    kernel_changes: Annotated[tuple[str, ...], Meta(description="What another kernel series means for the spec.")]


def look_at_bases(
    aws: Aws, spec: NodeImage, targets: Sequence[Target], path: Path | None
) -> list[BaseRow | AmigenError]:
    """The base of each target.

    Args:
        path: Build record; None for the one that `amigen build` writes, if it is there.
    """
    built = last_bases(path or default_path(spec), spec, required=path is not None)
    now = datetime.now(UTC)

    def row(target: Target) -> BaseRow:
        base = find_base(aws, spec, target)
        last, running = built.get(target, ("", ""))
        old = kernel.series_of_release(running) if last else None
        new = kernel.series_of_image(target.platform, base.name)
        compared = compared_to(aws, spec.aws.region, base, last) if last else "same"
        return BaseRow(
            platform=target.platform,
            architecture=target.architecture,
            region=spec.aws.region,
            source=source_of(spec, target.platform, target.architecture).text,
            image=base.id,
            name=base.name,
            created=base.created,
            age_days=(now - made).days if (made := base.created_at) else None,
            deprecated=base.deprecated or None,
            last_build=last or None,
            newer=compared == "newer",
            another=compared != "same",
            kernel=kernel.text(new) if new else None,
            last_kernel=kernel.text(old) if old else None,
            kernel_changes=tuple(kernel.what_changes(spec, old, new)) if old and new and old != new else (),
        )

    return attempt(row, targets)


def find_base(aws: Aws, spec: NodeImage, target: Target) -> Image:
    """The base image that a build would take now, in the region of the spec.

    Raises:
        InputError: There is none, or it is of another architecture.
        AwsError: A call failed.
    """
    region, source = spec.aws.region, source_of(spec, target.platform, target.architecture)
    found = _by_filter(aws, region, source, target) if source.name_filter else _by_id(aws, region, source)
    if found is None:
        raise InputError(
            f"no base image for {target.key} in {region}: nothing there by {source.text}",
            "check kubernetesVersion, aws.baseImage and aws.sourceAmis of the spec",
        )
    if found.architecture and found.architecture != target.architecture:
        raise InputError(
            f"the base image of {target.key} in {region}, {found.id}, is of architecture {found.architecture}",
            "check aws.sourceAmis of the spec",
        )
    return found


def compared_to(aws: Aws, region: str, base: Image, used: str) -> Comparison:
    """What the base of now is to the one that was used; by their dates, as another one need not be a newer one."""
    if base.id == used:
        return "same"
    # By its id: deprecated images of others are found so, and by a filter they are not.
    before = observe.find_image(aws, region, used)
    then, now = before.created_at if before else None, base.created_at
    if then is None or now is None or then == now:
        return "another"
    return "newer" if now > then else "older"


def _by_id(aws: Aws, region: str, source: Source) -> Image | None:
    image: str | None = source.image
    if name := source.parameter:
        public = name.startswith("/aws/service/")
        call = calls.GET_PUBLIC_PARAMETER if public else calls.GET_SOURCE_PARAMETER
        image = observe.find_parameter(aws, region, name, call)
    return observe.find_image(aws, region, image) if image else None


def _by_filter(aws: Aws, region: str, source: Source, target: Target) -> Image | None:
    """The newest that is available; names may have `*` and `?`."""
    wanted = {"name": source.name_filter, "architecture": target.architecture, "state": "available"}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    what = f"base images {source.text}"
    found = observe.find_images(aws, region, what, Owners=list(source.owners), Filters=filters)
    return found[0] if found else None
