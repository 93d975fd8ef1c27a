"""The names under which amigen makes things on AWS, and finds them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from amigen.base.errors import InputError
from amigen.plan.choose import selected
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture, Platform

TAG_NAME = "amigen/name"
TAG_DIGEST = "amigen/digest"
TAG_PLATFORM = "amigen/platform"
TAG_ARCHITECTURE = "amigen/architecture"
TAG_SOURCE = "amigen/source-ami"
# On an image whose checks have passed, and on its copies; never before.
TAG_VERIFIED = "amigen/verified"
TAG_COPIED_FROM = "amigen/copied-from"
TAG_CANARY = "amigen/canary"
TAG_PRUNED = "amigen/pruned-image"
# On a launch template: the versions that were its default before, oldest first, such as `1 3`.
TAG_HISTORY = "amigen/default-history"
# On a launch template: the last rollback, from which version to which, such as `5>3`.
TAG_ROLLBACK = "amigen/rollback"
_HISTORY_LENGTH = 32
# States of an image that will never be one (EC2's ImageState).
BROKEN_IMAGE = ("failed", "error", "invalid")

_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]+")
_DESCRIPTION = re.compile(
    r"amigen spec=(?P<spec>[0-9a-f]{64}) content=(?P<content>[0-9a-f]{32}) image=(?P<image>ami-[0-9a-f]+)"
)


@dataclass(frozen=True, kw_only=True, order=True)
class Target:
    """One image of a spec: a platform on an architecture."""

    name: str
    platform: Platform
    architecture: Architecture

    @property
    def key(self) -> str:
        """`al2023/x86_64`, in output and in the ledger."""
        return f"{self.platform}/{self.architecture}"

    @property
    def template(self) -> str:
        """Name of the launch template."""
        return f"{self.name}-{self.platform}-{self.architecture}"

    @property
    def parameter(self) -> str:
        """Name of the SSM parameter that holds the AMI id."""
        return f"/amigen/{self.name}/{self.platform}/{self.architecture}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags that say what a thing belongs to."""
        return {TAG_NAME: self.name, TAG_PLATFORM: self.platform, TAG_ARCHITECTURE: self.architecture}


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """A target in a region: what one thread of a publish works on."""

    region: str
    target: Target

    @property
    def key(self) -> str:
        """`al2023/x86_64/eu-central-1`."""
        return f"{self.target.key}/{self.region}"


def targets(spec: NodeImage, platforms: Sequence[str] = (), architectures: Sequence[str] = ()) -> tuple[Target, ...]:
    """The images of a spec, in its order; all of a kind where none is chosen.

    Raises:
        InputError: The spec does not have one.
    """
    chosen, kept = selected(spec, platforms, architectures)
    return tuple(
        Target(name=spec.name, platform=platform, architecture=architecture)
        for platform in chosen
        for architecture in kept
    )


def regions(spec: NodeImage) -> tuple[str, ...]:
    """The region of the build, then those of the copies."""
    return tuple(dict.fromkeys((spec.aws.region, *spec.aws.copy_regions)))


def chosen_regions(spec: NodeImage, given: Sequence[str], *, anywhere: bool = False) -> tuple[str, ...]:
    """The regions that were asked for, or all of the spec.

    Args:
        given: As asked for.
        anywhere: Also regions that are not in the spec (any more): images may have been left there.

    Raises:
        InputError: A region is not in the spec, or not the name of one.
    """
    known = regions(spec)
    for region in given:
        if region not in known and not (anywhere and _REGION.fullmatch(region)):
            raise InputError(f"{region} is not a region of this spec", f"it has: {', '.join(known)}")
    if anywhere and given:
        return tuple(dict.fromkeys(given))
    return tuple(region for region in known if not given or region in given)


def places(
    spec: NodeImage, platforms: Sequence[str], architectures: Sequence[str], given: Sequence[str]
) -> list[Place]:
    """The targets that were asked for, each in the regions that were asked for.

    Raises:
        InputError: The spec does not have one.
    """
    where = chosen_regions(spec, given)
    return [Place(region=region, target=each) for each in targets(spec, platforms, architectures) for region in where]


def token(*parts: object) -> str:
    """A client token that is the same for the same intent: 64 characters, EC2's limit.

    Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
    """
    return hashlib.sha256("\0".join(map(str, ("amigen", *parts))).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class VersionLabel:
    """What the description of a template version says: which spec, which content, which image.

    Versions of launch templates cannot carry tags, so the description (255 characters) has to.
    """

    spec: str
    content: str
    image: str

    def text(self) -> str:
        """As it is written."""
        return f"amigen spec={self.spec} content={self.content} image={self.image}"

    @classmethod
    def parse(cls, text: str) -> VersionLabel | None:
        """Read it back; None for a version that amigen did not make."""
        match = _DESCRIPTION.search(text)
        return cls(**match.groupdict()) if match else None


_NUMBER = r"[0-9]{1,9}"  # anybody may write tags


def read_history(tags: dict[str, str], default: int) -> tuple[int, ...]:
    """The versions that were the default before the current one, oldest first.

    The tag and the default cannot be written in one call: after a cut between the two, the last entry is the current
    default, and is left out here.
    """
    history = [int(number) for number in tags.get(TAG_HISTORY, "").split() if re.fullmatch(_NUMBER, number)]
    while history and history[-1] == default:
        history.pop()
    return tuple(history)


def write_history(history: tuple[int, ...]) -> str:
    """The value of the tag."""
    return " ".join(map(str, history[-_HISTORY_LENGTH:]))


def read_rollback(tags: dict[str, str]) -> tuple[int, int] | None:
    """The last rollback, (from, to); None where there was none since the last publish."""
    match = re.fullmatch(rf"({_NUMBER})>({_NUMBER})", tags.get(TAG_ROLLBACK, ""))
    return (int(match[1]), int(match[2])) if match else None
