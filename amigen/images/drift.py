"""Is what runs what the spec says?"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.images.base import Base, Comparison, compared_to, find_base
from amigen.publish import names, observe
from amigen.publish.diff import difference
from amigen.publish.names import Place
from amigen.publish.plan import PublishRequest
from amigen.publish.run import make_request
from amigen.publish.state import Image, Instance, Template
from amigen.publish.template import desired, is_default_same
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


class Intended(Difference, frozen=True, kw_only=True):
    """Worth knowing, and asked for by somebody."""


def look_at_drift(
    aws: Aws, spec: NodeImage, path: str, places: Sequence[Place], *, base: bool
) -> list[tuple[Difference, ...] | AmigenError]:
    """The differences of each place, to the spec of a file.

    Args:
        base: Whether to look for a newer base image, too.
    """
    request = make_request(spec, path)
    return attempt(lambda place: find_drift(aws, request, place, build_region=spec.aws.region, base=base), places)


def find_drift(
    aws: Aws, request: PublishRequest, place: Place, *, build_region: str, base: bool = True
) -> tuple[Difference, ...]:
    """Look at one place and compare.

    Raises:
        AwsError: A call failed.
    """
    template = observe.find_template(aws, place.region, place.target.template)
    instances = observe.running_instances(
        aws, place.region, f"instances of {place.target.key}", **{"amigen/name": place.target.name}
    )
    tags = place.target.tags
    own = [each for each in instances if all(each.tags.get(key, value) == value for key, value in tags.items())]
    image_id = template.default_version.image if template else ""
    parameter = observe.find_parameter(aws, place.region, place.target.parameter)
    image = observe.find_image(aws, place.region, image_id) if image_id.startswith("ami-") else None
    found = list(compare(request, place, template, image, parameter, own))
    used = image.tags.get(names.TAG_SOURCE) if image else None
    if base and image and used and place.region == build_region:
        now = find_base(aws, request.spec, place.target, place.region)
        found += _stale(place, image, now, used, compared_to(aws, now, used))
    return tuple(found)


def compare(
    request: PublishRequest,
    place: Place,
    template: Template | None,
    image: Image | None,
    parameter: str | None,
    instances: Sequence[Instance],
) -> Iterator[Difference]:
    """All differences but the age of the base. Pure."""
    if template is None:
        yield _difference(place, "template", place.target.template, "does not exist", "amigen publish SPEC")
        return
    yield from _template(request, place, template, image)
    yield from _image(request, place, template, image)
    launches, value = template.default_version.image, parameter or "not there"
    if value != launches:
        message = f"is {value}; the template's default launches {launches}"
        yield _difference(place, "parameter", place.target.parameter, message, "amigen publish SPEC --set-default")
    for instance in instances:
        if names.TAG_CANARY in instance.tags:
            hint = "amigen publish SPEC --canary takes it up again; or terminate it"
            yield _difference(place, "canary", instance.id, "a canary of an earlier publish is still there", hint)
        elif message := _runs(template, instance):
            yield _difference(place, "instance", instance.id, message, "amigen publish SPEC --rollout asg:NAME")


def _difference(
    place: Place,
    subject: Literal["template", "image", "parameter", "instance", "base", "canary"],
    what: str,
    message: str,
    hint: str,
    diff: tuple[str, ...] = (),
    kind: type[Difference] = Difference,
) -> Difference:
    return kind(
        region=place.region,
        platform=place.target.platform,
        architecture=place.target.architecture,
        subject=subject,
        what=what,
        message=message,
        hint=hint,
        diff=diff,
    )


def _template(request: PublishRequest, place: Place, template: Template, image: Image | None) -> Iterator[Difference]:
    version = template.default_version
    what = f"{template.name} version {version.number}"
    hint = "amigen publish SPEC --set-default"
    if version.label is None:
        yield _difference(place, "template", what, "the default version was not made by amigen", hint)
        return
    disks = version.data.get("BlockDeviceMappings") or [{}]
    make = functools.partial(
        desired,
        spec=request.spec,
        target=place.target,
        digest=request.digest,
        image=version.image,
        root_device=image.root_device if image else str(disks[0].get("DeviceName", "")),
        user_data=request.user_data[place.target.platform],
    )
    if is_default_same(template, make, version.image):
        return
    message = "differs from the spec"
    if version.label.spec != request.digest:
        message = f"is of another spec (digest {version.label.spec[:12]}, the spec has {request.digest[:12]})"
    yield _difference(place, "template", what, message, hint, difference(version.data, make(version.data)))


def _image(request: PublishRequest, place: Place, template: Template, image: Image | None) -> Iterator[Difference]:
    version = template.default_version
    if image is None:
        message = f"the image of the default version of {template.name} is gone: new nodes cannot start"
        hint = "amigen rollback SPEC --to VERSION, or publish a new one"
        yield _difference(place, "image", version.image or "(none)", message, hint)
        return
    digest = image.tags.get(names.TAG_DIGEST)
    if digest == request.digest:
        return
    was = f"digest {digest[:12]}" if digest else "no digest"
    message = f"was built from another spec ({was}, the spec has {request.digest[:12]})"
    if version.label and version.label.spec == request.digest:
        message += f"; version {version.number} of {template.name} is of this spec and names it on purpose"
        hint = "`publish --keep-image` did that; a build of the spec ends it"
        yield _difference(place, "image", image.id, message, hint, kind=Intended)
    else:
        yield _difference(place, "image", image.id, message, "amigen build, then publish")


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


def _stale(place: Place, image: Image, base: Base, used: str, is_now: Comparison) -> Iterator[Difference]:
    if is_now != "same":
        words = {"newer": "is newer", "older": "is another, and older", "another": "is another"}[is_now]
        now = f"the base of now, {base.image.id} ({base.image.name}, {base.image.created}), {words}"
        yield _difference(place, "base", image.id, f"was made from {used}; {now}", "amigen build SPEC --target aws")
