"""One idea: from what stands there and what should stand there to the actions between, without a call to AWS."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from amigen.base.errors import RefusedError
from amigen.plan.make import plan_images
from amigen.publish import image_steps, names, promote
from amigen.publish.names import Place, Target
from amigen.publish.record import ProvenImage
from amigen.publish.state import Image, PlaceState, Template, Version
from amigen.publish.steps import Action, PlaceRun
from amigen.publish.template import PENDING_IMAGE, Make, desired, same_version
from amigen.publish.template_steps import make_version
from amigen.spec.load import existing_user_data, spec_digest
from amigen.spec.model import NodeImage
from amigen.userdata.make import user_data


@dataclass(kw_only=True)
class PublishRequest:
    """What a publish is asked for.

    Attributes:
        path: File of the spec, to which `userData.merge` is relative.
        images_only: Stop before the launch templates and parameters: copies, sharing and deprecation only.
        set_default: Move `$Default` to the new version.
        canary: Prove the new version on one instance before that (and then move it).
        digest: Digest of the spec as it is now.
        user_data: Of each platform, before base64; none where only images are published.

    Raises:
        InputError, SizeError: There is no such user data.
    """

    spec: NodeImage
    path: str
    images_only: bool = False
    set_default: bool = False
    canary: bool = False
    now: datetime = field(init=False)
    digest: str = field(init=False)
    user_data: dict[str, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.now, self.digest, self.user_data = datetime.now(UTC), spec_digest(self.spec), {}
        if not self.images_only:
            merge = existing_user_data(self.spec, self.path)
            self.user_data = {plan.platform: user_data(plan, merge=merge) for plan in plan_images(self.spec)}

    @property
    def moves(self) -> bool:
        """Whether `$Default` moves to the new version."""
        return self.set_default or self.canary

    def making(self, target: Target, image: str, root_device: str) -> Make:
        """What makes the data of the next version of those before; the rest as of `desired`."""
        known: dict[str, Any] = {"spec": self.spec, "digest": self.digest, "user_data": self.user_data[target.platform]}
        return functools.partial(desired, target=target, image=image, root_device=root_device, **known)


def plan_place(request: PublishRequest, state: PlaceState) -> PlaceRun:
    """The actions for one target in one region.

    Raises:
        RefusedError: The image is not what the record says, or the template is not ours.
    """
    _refuse_wrong(state.proven, state.built)
    place, template, image = state.place, state.template, state.image.id if state.image else None
    run = PlaceRun(place=place, digest=request.digest, built=state.proven.image, image=image, found=template)
    actions = list(_image_actions(request, state))
    if not request.images_only:
        _refuse_template(request, state)
        make = request.making(place.target, image or PENDING_IMAGE, state.built.root_device)
        version = same_version(template, make, image) if template and image else None
        run.data = version.data if version else make(template.default_version.data if template else {})
        run.template, run.version = template.id if template else None, version.number if version else None
        more = _template_actions(request, state, version, run.data)
        if more and template:
            _refuse_foreign(template, place)
        actions += more
    run.actions = tuple(actions)
    run.notes = tuple(_notes(request, state, run))
    return run


def _notes(request: PublishRequest, state: PlaceState, run: PlaceRun) -> Iterator[str]:
    share, have = request.spec.aws.share, (state.image.shared if state.image else None) or frozenset()
    extra = have - {*share.named, "all" if share.public else ""}
    if state.image and extra:
        # Left: somebody may live on it.
        others = ", ".join(sorted(extra))
        yield f"{state.image.id} is also shared with {others}, which the spec does not name; left"
    cluster = request.spec.join.eks
    if cluster and run.has("canary"):
        # A canary has the user data of the nodes, and so becomes one.
        yield (
            f"the canary joins the cluster {cluster.name} as a node for some minutes, if its role is let in: pods may"
            " be scheduled on it, and it is terminated without a drain"
        )
    if not request.images_only and request.spec.aws.launch_template.resolve_ssm_parameter and not request.moves:
        yield f"{state.place.target.parameter} is what the template resolves: it moves with --set-default"


def _refuse_wrong(proven: ProvenImage, built: Image) -> None:
    where = f"{proven.target.key}: {built.id} in {proven.region}"
    if built.state not in ("available", "pending"):
        raise RefusedError(f"{where} is {built.state}{f' ({built.reason})' if built.reason else ''}", "build it again")
    if built.architecture and built.architecture != proven.target.architecture:
        raise RefusedError(f"{where} is of architecture {built.architecture}", "build it again")
    tagged = built.tags.get(names.TAG_DIGEST)
    if tagged and tagged != proven.digest:
        raise RefusedError(
            f"{where} was built from another spec (digest {tagged[:12]}, the record says {proven.digest[:12]})",
            "use the record of that image, or build again",
        )


def _refuse_template(request: PublishRequest, state: PlaceState) -> None:
    """What EC2 would refuse when the version is made, or only when it is launched.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html (VolumeSize: equal to or
    larger than the snapshot size), API_RequestLaunchTemplateData (InstanceRequirements: no InstanceType beside it)
    """
    key, needed, size = state.place.key, state.built.root_gib, request.spec.aws.root_volume.size_gib
    if needed > size:
        raise RefusedError(
            f"{key}: the root volume of {size} GiB is smaller than the snapshot of {state.built.id}, {needed} GiB",
            f"set aws.rootVolume.sizeGiB to {needed} or more",
        )
    wanted = request.spec.aws.launch_template.instance_types.get(state.place.target.architecture)
    if wanted and state.template and state.template.default_version.data.get("InstanceRequirements"):
        raise RefusedError(
            f"{key}: launch template {state.template.name} has InstanceRequirements, and EC2 takes no instance type"
            f" ({wanted}) beside them",
            "remove aws.launchTemplate.instanceTypes, or the requirements from the default version of the template",
        )


def _refuse_foreign(template: Template, place: Place) -> None:
    """A template of this name that nobody has said to be ours; the printed policy asks for the tag, too."""
    name = place.target.name
    if template.tags.get(names.TAG_NAME) != name:
        tag = f"Key={names.TAG_NAME},Value={name}"
        raise RefusedError(
            f"launch template {template.name} ({template.id}) in {place.region} has no tag {names.TAG_NAME}={name}:"
            " it was not made by amigen",
            "if amigen may take it over: "
            f"`aws ec2 create-tags --region {place.region} --resources {template.id} --tags {tag}`",
        )


def _image_actions(request: PublishRequest, state: PlaceState) -> Iterator[Action]:
    proven, built, image, spec = state.proven, state.built, state.image, request.spec.aws
    # Of an image whose checks have passed.
    tags = {
        **spec.tags,
        **proven.target.tags,
        names.TAG_DIGEST: proven.digest,
        **({names.TAG_SOURCE: proven.source} if proven.source else {}),
        names.TAG_VERIFIED: "true",
    }
    if image is None:
        yield from map(image_steps.remove_failed_copy, state.failed_copies)
        own = {key: value for key, value in built.tags.items() if not key.startswith("aws:")}
        copied = {**own, **tags, names.TAG_COPIED_FROM: built.id}
        yield image_steps.copy_image(built, proven.region, state.place.region, copied, spec)
    elif image.state == "pending":
        yield image_steps.await_image(image)
    if state.place.region == proven.region and any(built.tags.get(key) != value for key, value in tags.items()):
        yield image_steps.tag_image(built, tags)
    if share := image_steps.share_image(image, spec):
        yield share
    at = proven.built + timedelta(days=spec.deprecate_after_days or 0)
    # EC2 keeps whole minutes and refuses the past (API_EnableImageDeprecation).
    text = at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    is_set = image and image.deprecated[:16] == text[:16]
    if spec.deprecate_after_days is not None and at > request.now and not is_set:
        yield image_steps.deprecate_image(text)


def _template_actions(
    request: PublishRequest, state: PlaceState, version: Version | None, data: dict[str, Any]
) -> list[Action]:
    """The actions after those of the image.

    The parameter is what others launch. So it waits for the canary; and where the template itself resolves it, it is
    the promotion and moves only together with the default. A template cannot resolve what is not there, though.

    Args:
        version: The one that is right already; None where one has to be made.
        data: What it says, or will say.
    """
    place, template, old = state.place, state.template, state.parameter
    image = state.image.id if state.image else None
    is_default = template is not None and version is not None and version.number == template.default
    tags = {**request.spec.aws.tags, **place.target.tags}
    made = None if version else make_version(place, template, data, tags)
    canary = promote.run_canary(place, version) if request.canary and not is_default else None
    move = promote.set_default(place, template, version) if template and request.moves and not is_default else None
    put = promote.put_parameter(place, image, old) if image is None or old != image else None
    resolves = request.spec.aws.launch_template.resolve_ssm_parameter
    if resolves and old is not None and not request.moves:
        put = None
    first = old is None if resolves else not request.canary
    in_order = (put, made, canary, move) if first else (made, canary, put, move)
    return [action for action in in_order if action]
