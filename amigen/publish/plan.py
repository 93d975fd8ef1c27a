"""One idea: from what stands there and what should stand there to the actions between. Pure: no call, no clock."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from amigen.base.errors import RefusedError
from amigen.publish import names
from amigen.publish.diff import difference
from amigen.publish.image_steps import AwaitImage, CopyImage, DeprecateImage, RemoveFailedCopy, ShareImage, TagImage
from amigen.publish.names import Place
from amigen.publish.promote import PutParameter, RunCanary, SetDefault
from amigen.publish.record import ProvenImage
from amigen.publish.state import Image, PlaceState, Template
from amigen.publish.steps import Action, PlacePlan
from amigen.publish.template import PENDING_IMAGE, desired, same_version
from amigen.publish.template_steps import CreateTemplate, CreateVersion
from amigen.spec.model import NodeImage


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """What a publish is asked for.

    Attributes:
        digest: Digest of the spec as it is now.
        user_data: Of each platform, before base64.
        templates: False stops before the launch templates: copies, sharing and deprecation only.
        set_default: Move `$Default` to the new version.
        canary: Prove the new version on one instance before that (and then move it).
    """

    spec: NodeImage
    digest: str
    user_data: dict[str, bytes]
    now: datetime
    templates: bool = True
    set_default: bool = False
    canary: bool = False


def plan_place(
    request: PublishRequest, proven: ProvenImage, place: Place, built: Image, state: PlaceState
) -> PlacePlan:
    """The actions for one target in one region; `built` is the image of the build, in the build's region.

    Raises:
        RefusedError: The image is not what the record says, or the template is not ours.
    """
    _refuse_wrong(proven, built)
    image_actions, notes = _image_actions(request, proven, place, built, state)
    image = state.image.id if state.image else None
    template_actions: list[Action] = []
    version = None
    if request.templates:
        _refuse_template(request, place, built, state.template)
        template_actions, version = _template_actions(request, place, built, image, state)
        if template_actions and state.template:
            _refuse_foreign(state.template, place)
        notes += _joins(request, template_actions)
        if request.spec.aws.launch_template.resolve_ssm_parameter and not (request.set_default or request.canary):
            notes.append(f"{place.target.parameter} is what the template resolves: it moves with --set-default")
    return PlacePlan(
        place=place,
        actions=(*image_actions, *template_actions),
        digest=request.digest,
        built=proven.image,
        image=image,
        template=state.template.id if state.template else None,
        version=version,
        notes=tuple(notes),
    )


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


def _refuse_template(request: PublishRequest, place: Place, built: Image, template: Template | None) -> None:
    """What EC2 would refuse when the version is made, or only when it is launched.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html (VolumeSize: equal to or
    larger than the snapshot size), API_RequestLaunchTemplateData (InstanceRequirements: no InstanceType beside it)
    """
    size = request.spec.aws.root_volume.size_gib
    if built.root_gib > size:
        raise RefusedError(
            f"{place.key}: the root volume of {size} GiB is smaller than the snapshot of {built.id},"
            f" {built.root_gib} GiB",
            f"set aws.rootVolume.sizeGiB to {built.root_gib} or more",
        )
    wanted = request.spec.aws.launch_template.instance_types.get(place.target.architecture)
    if wanted and template and template.default_version.data.get("InstanceRequirements"):
        raise RefusedError(
            f"{place.key}: launch template {template.name} has InstanceRequirements, and EC2 takes no instance type"
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


def _joins(request: PublishRequest, actions: Sequence[Action]) -> list[str]:
    """A canary has the user data of the nodes, and so becomes one."""
    cluster = request.spec.join.eks
    if cluster is None or not any(isinstance(each, RunCanary) for each in actions):
        return []
    return [
        f"the canary joins the cluster {cluster.name} as a node for some minutes, if its role is let in: pods may be"
        " scheduled on it, and it is terminated without a drain"
    ]


def image_tags(request: PublishRequest, proven: ProvenImage) -> dict[str, str]:
    """The tags of an image whose checks have passed."""
    return {
        **request.spec.aws.tags,
        **proven.target.tags,
        names.TAG_DIGEST: proven.digest,
        **({names.TAG_SOURCE: proven.source} if proven.source else {}),
        names.TAG_VERIFIED: "true",
    }


def _image_actions(
    request: PublishRequest, proven: ProvenImage, place: Place, built: Image, state: PlaceState
) -> tuple[list[Action], list[str]]:
    actions: list[Action] = []
    tags = image_tags(request, proven)
    if place.region == proven.region:
        if built.state == "pending":
            actions.append(AwaitImage(image=built.id))
        if any(built.tags.get(key) != value for key, value in tags.items()):
            actions.append(TagImage(image=built.id, snapshots=tuple(s.id for s in built.snapshots), tags=tags))
    elif state.image is None:
        actions += [RemoveFailedCopy(image=failed.id, reason=failed.reason) for failed in state.failed_copies]
        actions.append(_copy(request, place, proven, built, tags))
    elif state.image.state == "pending":
        actions.append(AwaitImage(image=state.image.id))
    share, notes = _share(request, state.image)
    actions += [share] if share else []
    deprecation = _deprecation(request, proven, state.image)
    actions += [deprecation] if deprecation else []
    return actions, notes


def _copy(request: PublishRequest, place: Place, proven: ProvenImage, built: Image, tags: dict[str, str]) -> CopyImage:
    keys = request.spec.aws.encryption
    own = {key: value for key, value in built.tags.items() if not key.startswith("aws:")}
    return CopyImage(
        source=built.id,
        source_region=proven.region,
        name=built.name,
        tags={**own, **tags, names.TAG_COPIED_FROM: built.id},
        encrypted=keys.enabled,
        kms_key=keys.region_kms_key_ids.get(place.region, keys.kms_key_id) if keys.enabled else None,
    )


def _share(request: PublishRequest, image: Image | None) -> tuple[ShareImage | None, list[str]]:
    """What is missing of the sharing; what is there beyond the spec is told and left: somebody may live on it.

    An account that launches a shared image needs no right on its snapshots; one that copies it does, and for encrypted
    ones that is the usual way (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html).
    """
    share = request.spec.aws.share
    wanted = {*share.accounts, *share.organizations, *share.organizational_units, *(["all"] if share.public else [])}
    have = (image.shared if image else None) or frozenset()
    encrypted = any(s.encrypted for s in image.snapshots) if image else request.spec.aws.encryption.enabled
    have_snapshots = image.snapshots_shared if image else frozenset()
    action = ShareImage(
        accounts=tuple(a for a in share.accounts if a not in have),
        organizations=tuple(a for a in share.organizations if a not in have),
        units=tuple(a for a in share.organizational_units if a not in have),
        public=share.public and "all" not in have,
        snapshot_accounts=tuple(a for a in share.accounts if a not in have_snapshots) if encrypted else (),
    )
    extra = sorted(have - wanted)
    notes = (
        [f"{image.id} is also shared with {', '.join(extra)}, which the spec does not name; left"]
        if image and extra
        else []
    )
    return (action if action.title else None), notes


def _deprecation(request: PublishRequest, proven: ProvenImage, image: Image | None) -> DeprecateImage | None:
    """EC2 keeps whole minutes and refuses the past (API_EnableImageDeprecation)."""
    days = request.spec.aws.deprecate_after_days
    if days is None:
        return None
    at = proven.built + timedelta(days=days)
    text = at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    if at <= request.now or (image and image.deprecated[:16] == text[:16]):
        return None
    return DeprecateImage(at=text)


def _template_actions(
    request: PublishRequest, place: Place, built: Image, image: str | None, state: PlaceState
) -> tuple[list[Action], int | None]:
    template = state.template
    make = functools.partial(
        desired,
        spec=request.spec,
        target=place.target,
        digest=request.digest,
        image=image or PENDING_IMAGE,
        root_device=built.root_device,
        user_data=request.user_data[place.target.platform],
    )
    data = make(template.default_version.data if template else {})
    found = same_version(template, make, image) if template and image else None
    version = found.number if found else None
    name = place.target.template
    made = _make(request, place, data, image, template) if found is None else None
    canary = None
    if request.canary and (made or (template and version != template.default)):
        canary = RunCanary(name=name, template=template.id if template else None, version=version, image=image)
    move = None
    if template and (request.set_default or request.canary) and version != template.default:
        lines = difference(template.default_version.data, found.data) if found else ()
        move = SetDefault(name=name, template=template.id, version=version, old=template.default, lines=lines)
    parameter, first = _parameter(request, place, image, state)
    in_order = (parameter, made, canary, move) if first else (made, canary, parameter, move)
    return [action for action in in_order if action], version


def _make(
    request: PublishRequest, place: Place, data: dict[str, Any], image: str | None, template: Template | None
) -> CreateTemplate | CreateVersion:
    name = place.target.template
    if template is None:
        tags = {**request.spec.aws.tags, **place.target.tags}
        lines = difference({}, data)
        return CreateTemplate(name=name, data=data, image=image, digest=request.digest, tags=tags, lines=lines)
    return CreateVersion(
        name=name,
        template=template.id,
        after=template.latest,
        default=template.default,
        data=data,
        image=image,
        digest=request.digest,
        lines=difference(template.default_version.data, data),
    )


def _parameter(
    request: PublishRequest, place: Place, image: str | None, state: PlaceState
) -> tuple[PutParameter | None, bool]:
    """The parameter, and whether it comes before the template.

    Others launch what it names. So it waits for the canary; and where the template itself resolves it, it is the
    promotion and moves only together with the default. A template cannot resolve what is not there, though.
    """
    resolves = request.spec.aws.launch_template.resolve_ssm_parameter
    old = state.parameter
    if image is not None and old == image:
        return None, True
    put = PutParameter(name=place.target.parameter, image=image, old=old)
    if resolves and old is None:
        return put, True
    if resolves and not (request.set_default or request.canary):
        return None, True
    return put, not (resolves or request.canary)
