"""Is what runs what the spec says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from msgspec import Struct

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.images.base import Comparison, compared_to, find_base
from amigen.publish import names, observe
from amigen.publish.diff import difference
from amigen.publish.names import Place
from amigen.publish.plan import PublishRequest
from amigen.publish.state import Image, Instance, Template
from amigen.publish.template import is_default_same
from amigen.publish.wait import attempt
from amigen.spec.model import NodeImage


class Difference(Struct, frozen=True, kw_only=True):
    """What runs and is not what the spec says; as `images drift` prints it.

    Attributes:
        what: The thing: `i-0abc`, `ipvs-nodes-al2023-x86_64 version 3`.
        diff: Details, as of a diff.
    """

    region: str
    platform: str
    architecture: str
    subject: str
    what: str
    message: str
    hint: str
    diff: tuple[str, ...]

    @classmethod
    def at(
        cls,
        place: Place,
        subject: Literal["template", "image", "parameter", "instance", "base", "canary"],
        what: str,
        message: str,
        hint: str,
        diff: tuple[str, ...] = (),
    ) -> Self:
        """A difference in a place."""
        return cls(
            region=place.region,
            platform=place.target.platform,
            architecture=place.target.architecture,
            subject=subject,
            what=what,
            message=message,
            hint=hint,
            diff=diff,
        )


class Intended(Difference, frozen=True, kw_only=True):
    """Worth knowing, and asked for by somebody."""


def look_at_drift(
    aws: Aws, spec: NodeImage, path: str, places: Sequence[Place], *, base: bool
) -> list[tuple[Difference, ...] | AmigenError]:
    """The differences of each place, to the spec of a file.

    Args:
        base: Whether to look for a newer base image, too.
    """
    request = PublishRequest(spec=spec, path=path)
    return attempt(lambda place: tuple(_differences(aws, request, place, base=base)), places)


def _differences(aws: Aws, request: PublishRequest, place: Place, *, base: bool) -> Iterator[Difference]:
    """Look at one place and compare."""
    region, target = place.region, place.target
    template = observe.find_template(aws, region, target.template)
    if template is None:
        yield Difference.at(place, "template", target.template, "does not exist", "amigen publish SPEC")
        return
    launches = template.default_version.image
    image = observe.find_image(aws, region, launches) if launches.startswith("ami-") else None
    yield from _template(request, place, template, image)
    yield from _image(request, place, template, image)
    value = observe.find_parameter(aws, region, target.parameter) or "not there"
    if value != launches:
        message = f"is {value}; the template's default launches {launches}"
        yield Difference.at(place, "parameter", target.parameter, message, "amigen publish SPEC --set-default")
    for each in observe.running_instances(aws, region, f"instances of {target.key}", **{names.TAG_NAME: target.name}):
        if not all(each.tags.get(key, value) == value for key, value in target.tags.items()):
            continue
        if names.TAG_CANARY in each.tags:
            hint = "amigen publish SPEC --canary takes it up again; or terminate it"
            yield Difference.at(place, "canary", each.id, "a canary of an earlier publish is still there", hint)
        elif message := _runs(template, each):
            yield Difference.at(place, "instance", each.id, message, "amigen publish SPEC --rollout asg:NAME")
    used = image.tags.get(names.TAG_SOURCE) if image else None
    if base and image and used and region == request.spec.aws.region:
        now = find_base(aws, request.spec, target)
        yield from _stale(place, image, now, used, compared_to(aws, region, now, used))


def _template(request: PublishRequest, place: Place, template: Template, image: Image | None) -> Iterator[Difference]:
    version = template.default_version
    what = f"{template.name} version {version.number}"
    hint = "amigen publish SPEC --set-default"
    if version.label is None:
        yield Difference.at(place, "template", what, "the default version was not made by amigen", hint)
        return
    disks = version.data.get("BlockDeviceMappings") or [{}]
    root_device = image.root_device if image else str(disks[0].get("DeviceName", ""))
    make = request.making(place.target, version.image, root_device)
    if is_default_same(template, make, version.image):
        return
    message = "differs from the spec"
    if version.label.spec != request.digest:
        message = f"is of another spec (digest {version.label.spec[:12]}, the spec has {request.digest[:12]})"
    yield Difference.at(place, "template", what, message, hint, difference(version.data, make(version.data)))


def _image(request: PublishRequest, place: Place, template: Template, image: Image | None) -> Iterator[Difference]:
    version = template.default_version
    if image is None:
        message = f"the image of the default version of {template.name} is gone: new nodes cannot start"
        hint = "amigen rollback SPEC --to VERSION, or publish a new one"
        yield Difference.at(place, "image", version.image or "(none)", message, hint)
        return
    digest = image.tags.get(names.TAG_DIGEST)
    if digest == request.digest:
        return
    was = f"digest {digest[:12]}" if digest else "no digest"
    message = f"was built from another spec ({was}, the spec has {request.digest[:12]})"
    if version.label and version.label.spec == request.digest:
        message += f"; version {version.number} of {template.name} is of this spec and names it on purpose"
        hint = "`publish --keep-image` did that; a build of the spec ends it"
        yield Intended.at(place, "image", image.id, message, hint)
    else:
        yield Difference.at(place, "image", image.id, message, "amigen build, then publish")


def _runs(template: Template, instance: Instance) -> str:
    """What an instance has in place of the default version; empty where that is what it runs.

    The image alone does not tell: another version of the same image has other user data, disks or settings. Auto
    Scaling and EKS tag their instances with the version; others have the digest that the template gives them.
    """
    default = template.default_version
    if instance.image != default.image:
        return f"runs {instance.image}; the template's default launches {default.image}"
    by, number = instance.version or ("", "")
    if by == template.id and number.isdecimal():
        launched = f"was launched by version {number} of {template.name}; the default is {default.number}"
        return "" if int(number) == default.number else launched
    digest = instance.tags.get(names.TAG_DIGEST)
    if digest and default.label and digest != default.label.spec:
        of = default.label.spec[:12]
        return f"was launched for another spec (digest {digest[:12]}, the default version has {of})"
    return ""


def _stale(place: Place, image: Image, base: Image, used: str, is_now: Comparison) -> Iterator[Difference]:
    if is_now != "same":
        words = {"newer": "is newer", "older": "is another, and older", "another": "is another"}[is_now]
        now = f"the base of now, {base.id} ({base.name}, {base.created}), {words}"
        yield Difference.at(place, "base", image.id, f"was made from {used}; {now}", "amigen build SPEC --target aws")
