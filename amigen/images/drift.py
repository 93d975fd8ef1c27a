"""Is what runs what the spec says?"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.images.base import Base, Comparison, compared_to, find_base
from amigen.publish import names, observe
from amigen.publish.diff import difference
from amigen.publish.names import Place
from amigen.publish.plan import PublishRequest
from amigen.publish.request import make_request
from amigen.publish.same import is_default_same
from amigen.publish.state import Image, Instance, Template
from amigen.publish.template import desired
from amigen.publish.wait import attempt
from amigen.spec.model import NodeImage

Subject = Literal["template", "image", "parameter", "instance", "base", "canary"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference.

    Attributes:
        what: The thing: `i-0abc`, `ipvs-nodes-al2023-x86_64 version 3`.
        lines: Details, as of a diff.
        note: Worth knowing, and no difference: somebody has asked for it.
    """

    place: Place
    subject: Subject
    what: str
    message: str
    hint: str
    lines: tuple[str, ...] = ()
    note: bool = False


def look_at_drift(
    aws: Aws, spec: NodeImage, path: str, places: Sequence[Place], *, base: bool
) -> list[tuple[Finding, ...] | AmigenError]:
    """The differences of each place, to the spec of a file.

    Args:
        base: Whether to look for a newer base image, too.
    """
    request = make_request(spec, path)
    return attempt(lambda place: find_drift(aws, request, place, build_region=spec.aws.region, base=base), places)


def find_drift(
    aws: Aws, request: PublishRequest, place: Place, *, build_region: str, base: bool = True
) -> tuple[Finding, ...]:
    """Look at one place and compare.

    Raises:
        AwsError: A call failed.
    """
    template = observe.find_template(aws, place.region, place.target.template)
    instances = observe.running_instances(
        aws, place.region, f"instances of {place.target.key}", **{"amigen/name": place.target.name}
    )
    own = [i for i in instances if _belongs(i, place)]
    image_id = template.default_version.image if template else ""
    parameter = observe.find_parameter(aws, place.region, place.target.parameter)
    image = observe.find_image(aws, place.region, image_id) if image_id.startswith("ami-") else None
    findings = compare(request, place, template, image, parameter, own)
    used = image.tags.get(names.TAG_SOURCE) if image else None
    if base and image and used and place.region == build_region:
        found = find_base(aws, request.spec, place.target, place.region)
        findings += _stale(place, image, found, used, compared_to(aws, found, used))
    return findings


def _belongs(instance: Instance, place: Place) -> bool:
    wanted = place.target.tags
    return all(instance.tags.get(key, value) == value for key, value in wanted.items())


def compare(
    request: PublishRequest,
    place: Place,
    template: Template | None,
    image: Image | None,
    parameter: str | None,
    instances: Sequence[Instance],
) -> tuple[Finding, ...]:
    """All differences but the age of the base. Pure."""
    name = place.target.template
    if template is None:
        hint = "amigen publish SPEC"
        return (Finding(place=place, subject="template", what=name, message="does not exist", hint=hint),)
    return (
        *_template(request, place, template, image),
        *_image(request, place, template, image),
        *_parameter(place, template, parameter),
        *_instances(place, template, instances),
    )


def _template(request: PublishRequest, place: Place, template: Template, image: Image | None) -> tuple[Finding, ...]:
    version = template.default_version
    what = f"{template.name} version {version.number}"
    hint = "amigen publish SPEC --set-default"
    if version.label is None:
        message = "the default version was not made by amigen"
        return (Finding(place=place, subject="template", what=what, message=message, hint=hint),)
    make = functools.partial(
        desired,
        spec=request.spec,
        target=place.target,
        digest=request.digest,
        image=version.image,
        root_device=image.root_device if image else _root_device(version.data),
        user_data=request.user_data[place.target.platform],
    )
    if is_default_same(template, make, version.image):
        return ()
    lines = difference(version.data, make(version.data))
    if version.label.spec != request.digest:
        message = f"is of another spec (digest {version.label.spec[:12]}, the spec has {request.digest[:12]})"
    else:
        message = "differs from the spec"
    return (Finding(place=place, subject="template", what=what, message=message, hint=hint, lines=lines),)


def _root_device(data: dict[str, object]) -> str:
    disks = data.get("BlockDeviceMappings")
    return str(disks[0].get("DeviceName", "")) if isinstance(disks, list) and disks else ""


def _image(request: PublishRequest, place: Place, template: Template, image: Image | None) -> tuple[Finding, ...]:
    version = template.default_version
    named = version.image
    if image is None:
        message = f"the image of the default version of {template.name} is gone: new nodes cannot start"
        hint = "amigen rollback SPEC --to VERSION, or publish a new one"
        return (Finding(place=place, subject="image", what=named or "(none)", message=message, hint=hint),)
    digest = image.tags.get(names.TAG_DIGEST)
    if digest == request.digest:
        return ()
    was = f"digest {digest[:12]}" if digest else "no digest"
    message = f"was built from another spec ({was}, the spec has {request.digest[:12]})"
    if version.label and version.label.spec == request.digest:
        message += f"; version {version.number} of {template.name} is of this spec and names it on purpose"
        hint = "`publish --keep-image` did that; a build of the spec ends it"
        return (Finding(place=place, subject="image", what=image.id, message=message, hint=hint, note=True),)
    return (Finding(place=place, subject="image", what=image.id, message=message, hint="amigen build, then publish"),)


def _parameter(place: Place, template: Template, parameter: str | None) -> tuple[Finding, ...]:
    wanted = template.default_version.image
    value = parameter or "not there"
    if value == wanted:
        return ()
    return (
        Finding(
            place=place,
            subject="parameter",
            what=place.target.parameter,
            message=f"is {value}; the template's default launches {wanted}",
            hint="amigen publish SPEC --set-default",
        ),
    )


def _instances(place: Place, template: Template, instances: Sequence[Instance]) -> tuple[Finding, ...]:
    out = []
    for instance in instances:
        if names.TAG_CANARY in instance.tags:
            message = "a canary of an earlier publish is still there"
            hint = "amigen publish SPEC --canary takes it up again; or terminate it"
            out.append(Finding(place=place, subject="canary", what=instance.id, message=message, hint=hint))
        elif message := _runs(template, instance):
            hint = "amigen publish SPEC --rollout asg:NAME"
            out.append(Finding(place=place, subject="instance", what=instance.id, message=message, hint=hint))
    return tuple(out)


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


def _stale(place: Place, image: Image, base: Base, used: str, is_now: Comparison) -> tuple[Finding, ...]:
    if is_now == "same":
        return ()
    words = {"newer": "is newer", "older": "is another, and older", "another": "is another"}[is_now]
    now = f"the base of now, {base.image.id} ({base.image.name}, {base.image.created}), {words}"
    return (
        Finding(
            place=place,
            subject="base",
            what=image.id,
            message=f"was made from {used}; {now}",
            hint="amigen build SPEC --target aws",
        ),
    )
