"""One idea: from what stands there and what should stand there to the actions between, without a call to AWS."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from amigen.base.errors import RefusedError
from amigen.plan.make import plan_images
from amigen.publish import names
from amigen.publish.diff import difference
from amigen.publish.image_steps import AwaitImage, CopyImage, DeprecateImage, RemoveFailedCopy, ShareImage, TagImage
from amigen.publish.names import Place, Target
from amigen.publish.promote import PutParameter, RunCanary, SetDefault
from amigen.publish.record import ProvenImage
from amigen.publish.state import Image, PlaceState, Template
from amigen.publish.steps import Action, PlaceRun
from amigen.publish.template import PENDING_IMAGE, Make, desired, same_version
from amigen.publish.template_steps import CreateTemplate, CreateVersion
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
    actions, version = list(_image_actions(request, state)), None
    if not request.images_only:
        _refuse_template(request, state)
        more, version = _template_actions(request, state)
        if more and state.template:
            _refuse_foreign(state.template, state.place)
        actions += more
    return PlaceRun(
        place=state.place,
        actions=tuple(actions),
        digest=request.digest,
        built=state.proven.image,
        image=state.image.id if state.image else None,
        template=state.template.id if state.template else None,
        version=version,
        notes=tuple(_notes(request, state, actions)),
    )


def _notes(request: PublishRequest, state: PlaceState, actions: Sequence[Action]) -> Iterator[str]:
    share, have = request.spec.aws.share, (state.image.shared if state.image else None) or frozenset()
    extra = have - {*share.named, "all" if share.public else ""}
    if state.image and extra:
        # Left: somebody may live on it.
        others = ", ".join(sorted(extra))
        yield f"{state.image.id} is also shared with {others}, which the spec does not name; left"
    cluster = request.spec.join.eks
    if cluster and any(isinstance(each, RunCanary) for each in actions):
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
    proven, built, image = state.proven, state.built, state.image
    # Of an image whose checks have passed.
    tags = {
        **request.spec.aws.tags,
        **proven.target.tags,
        names.TAG_DIGEST: proven.digest,
        **({names.TAG_SOURCE: proven.source} if proven.source else {}),
        names.TAG_VERIFIED: "true",
    }
    if state.place.region == proven.region:
        if built.state == "pending":
            yield AwaitImage(image=built.id)
        if any(built.tags.get(key) != value for key, value in tags.items()):
            yield TagImage(image=built.id, snapshots=tuple(s.id for s in built.snapshots), tags=tags)
    elif image is None:
        yield from (RemoveFailedCopy(image=failed.id, reason=failed.reason) for failed in state.failed_copies)
        keys = request.spec.aws.encryption
        own = {key: value for key, value in built.tags.items() if not key.startswith("aws:")}
        yield CopyImage(
            source=built.id,
            source_region=proven.region,
            name=built.name,
            tags={**own, **tags, names.TAG_COPIED_FROM: built.id},
            encrypted=keys.enabled,
            kms_key=keys.region_kms_key_ids.get(state.place.region, keys.kms_key_id) if keys.enabled else None,
        )
    elif image.state == "pending":
        yield AwaitImage(image=image.id)
    share = _share(request, image)
    if share.title:
        yield share
    days = request.spec.aws.deprecate_after_days
    at = proven.built + timedelta(days=days or 0)
    # EC2 keeps whole minutes and refuses the past (API_EnableImageDeprecation).
    text = at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    if days is not None and at > request.now and not (image and image.deprecated[:16] == text[:16]):
        yield DeprecateImage(at=text)


def _share(request: PublishRequest, image: Image | None) -> ShareImage:
    """What is missing of the sharing.

    An account that launches a shared image needs no right on its snapshots; one that copies it does, and for encrypted
    ones that is the usual way (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html).
    """
    share = request.spec.aws.share
    have = (image.shared if image else None) or frozenset()
    encrypted = any(s.encrypted for s in image.snapshots) if image else request.spec.aws.encryption.enabled
    have_snapshots = image.snapshots_shared if image else frozenset()
    return ShareImage(
        accounts=tuple(a for a in share.accounts if a not in have),
        organizations=tuple(a for a in share.organizations if a not in have),
        units=tuple(a for a in share.organizational_units if a not in have),
        public=share.public and "all" not in have,
        snapshot_accounts=tuple(a for a in share.accounts if a not in have_snapshots) if encrypted else (),
    )


def _template_actions(request: PublishRequest, state: PlaceState) -> tuple[list[Action], int | None]:
    """The actions, and the version that is right already; None where one has to be made."""
    template, target = state.template, state.place.target
    image, name = state.image.id if state.image else None, target.template
    make = request.making(target, image or PENDING_IMAGE, state.built.root_device)
    before = template.default_version.data if template else {}
    found = same_version(template, make, image) if template and image else None
    version = found.number if found else None
    made: Action | None = None
    if found is None:
        data = make(before)
        new: dict[str, Any] = {"name": name, "data": data, "image": image, "lines": difference(before, data)}
        if template:
            after, default = template.latest, template.default
            made = CreateVersion(**new, digest=request.digest, template=template.id, after=after, default=default)
        else:
            made = CreateTemplate(**new, digest=request.digest, tags={**request.spec.aws.tags, **target.tags})
    canary = move = None
    if request.canary and (made or (template and version != template.default)):
        canary = RunCanary(name=name, template=template.id if template else None, version=version, image=image)
    if template and request.moves and version != template.default:
        lines = difference(before, found.data) if found else ()
        move = SetDefault(name=name, template=template.id, version=version, old=template.default, lines=lines)
    parameter, first = _parameter(request, state)
    in_order = (parameter, made, canary, move) if first else (made, canary, parameter, move)
    return [action for action in in_order if action], version


def _parameter(request: PublishRequest, state: PlaceState) -> tuple[PutParameter | None, bool]:
    """The parameter, and whether it comes before the template.

    Others launch what it names. So it waits for the canary; and where the template itself resolves it, it is the
    promotion and moves only together with the default. A template cannot resolve what is not there, though.
    """
    resolves = request.spec.aws.launch_template.resolve_ssm_parameter
    old, image = state.parameter, state.image.id if state.image else None
    if image is not None and old == image:
        return None, True
    put = PutParameter(name=state.place.target.parameter, image=image, old=old)
    if resolves and old is None:
        return put, True
    if resolves and not request.moves:
        return None, True
    return put, not (resolves or request.canary)
