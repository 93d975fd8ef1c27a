"""The AMI to build from: which one would be taken now, how old it is, and whether it is newer than the last build's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import InputError
from amigen.platforms import PLATFORMS
from amigen.publish import observe
from amigen.publish.names import Target
from amigen.publish.state import Image
from amigen.spec.model import NodeImage

Comparison = Literal["same", "newer", "older", "another"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a base image is looked up: exactly one of the three is set."""

    image: str = ""
    parameter: str = ""
    name_filter: str = ""
    owners: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Text for messages."""
        if self.image:
            return f"the AMI {self.image}"
        return f"parameter {self.parameter}" if self.parameter else f"{self.name_filter} of {', '.join(self.owners)}"


@dataclass(frozen=True, kw_only=True)
class Base:
    """What was found."""

    target: Target
    region: str
    source: Source
    image: Image

    def age_days(self, now: datetime) -> int | None:
        """Days since it was made; None where EC2 does not say."""
        made = self.image.created_at
        return (now - made).days if made else None


def source_of(spec: NodeImage, target: Target) -> Source:
    """Where the base of a target is looked up, by the spec and what amigen knows of the platform. Pure."""
    fact = PLATFORMS[target.platform]
    arch = target.distribution_arch
    own = spec.aws.source_amis.get(target.platform)
    if own and own.id:
        return Source(image=own.id)
    if own and own.ssm_parameter:
        return Source(parameter=own.ssm_parameter.replace("{arch}", arch))
    if own and own.filter:
        return Source(name_filter=own.filter.name, owners=own.filter.owners)
    eks = spec.aws.base_image == "eks" and fact.ssm_eks
    parameter = eks or fact.ssm_plain
    if parameter:
        return Source(parameter=parameter.format(version=spec.kubernetes_version, arch=arch))
    return Source(name_filter=fact.name_filter.format(arch=arch), owners=(fact.owner,))


def find_base(aws: Aws, spec: NodeImage, target: Target, region: str) -> Base:
    """The base image that a build would take now.

    Raises:
        InputError: There is none, or it is of another architecture.
        AwsError: A call failed.
    """
    source = source_of(spec, target)
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
    return Base(target=target, region=region, source=source, image=found)


def compared_to(aws: Aws, base: Base, used: str) -> Comparison:
    """What the base of now is to the one that was used; by their dates, as another one need not be a newer one."""
    if base.image.id == used:
        return "same"
    # By its id: deprecated images of others are found so, and by a filter they are not.
    before = observe.find_image(aws, base.region, used)
    then, now = before.created_at if before else None, base.image.created_at
    if then is None or now is None or then == now:
        return "another"
    return "newer" if now > then else "older"


def _by_id(aws: Aws, region: str, source: Source) -> Image | None:
    image = source.image
    if source.parameter:
        call = (
            calls.GET_PUBLIC_PARAMETER if source.parameter.startswith("/aws/service/") else calls.GET_SOURCE_PARAMETER
        )
        try:
            answer = aws.call(call, region, f"parameter {source.parameter}", Name=source.parameter)
        except CallError as error:
            if error.code == "ParameterNotFound":
                return None
            raise
        image = str(answer["Parameter"]["Value"])
    return observe.find_image(aws, region, image)


def _by_filter(aws: Aws, region: str, source: Source, target: Target) -> Image | None:
    found = observe.search_images(
        aws,
        region,
        f"base images {source.text}",
        owners=source.owners,
        name=source.name_filter,
        architecture=target.architecture,
    )
    return max(found, key=lambda image: (image.created, image.id), default=None)
