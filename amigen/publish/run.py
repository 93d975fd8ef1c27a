"""Look at every place of a publish, and plan it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from amigen.aws.session import Aws
from amigen.base.errors import RefusedError
from amigen.publish import names, observe
from amigen.publish.names import Place
from amigen.publish.plan import PublishRequest, plan_place
from amigen.publish.record import ProvenImage
from amigen.publish.state import Image, PlaceState
from amigen.publish.steps import PlaceRun, plan_all
from amigen.publish.wait import Waiter


def look(
    aws: Aws, request: PublishRequest, proven: Sequence[ProvenImage], regions: Sequence[str], waiter: Waiter
) -> list[PlaceRun]:
    """Look at every place, side by side, and plan it. A region that cannot be asked does not hide the others."""
    images = {Place(region=region, target=each.target): each for each in proven for region in regions}
    return plan_all(lambda place: _plan(aws, request, images[place], place), list(images), waiter)


def _plan(aws: Aws, request: PublishRequest, proven: ProvenImage, place: Place) -> PlaceRun:
    built = observe.find_image(aws, proven.region, proven.image)
    if built is None:
        raise RefusedError(f"{proven.target.key}: {proven.image} does not exist in {proven.region}", "build it again")
    region, target = place.region, place.target
    image: Image | None = built
    failed: tuple[Image, ...] = ()
    if region != proven.region:
        what, filters = f"copies of {proven.image}", observe.tagged(**{names.TAG_COPIED_FROM: proven.image})
        copies = observe.find_images(aws, region, what, Owners=["self"], Filters=filters)
        image = next((each for each in copies if each.state in ("available", "pending")), None)
        failed = tuple(each for each in copies if each.state in names.BROKEN_IMAGE)
    state = PlaceState(
        place=place,
        proven=proven,
        built=built,
        image=_with_permissions(aws, request, region, image) if image else None,
        failed_copies=failed,
        template=observe.find_template(aws, region, target.template) if not request.images_only else None,
        parameter=observe.find_parameter(aws, region, target.parameter) if not request.images_only else None,
    )
    return plan_place(request, state)


def _with_permissions(aws: Aws, request: PublishRequest, region: str, image: Image) -> Image:
    """Permissions cost calls of their own: asked for only where the spec shares."""
    share = request.spec.aws.share
    if not (share.named or share.public):
        return image
    shared = observe.image_permissions(aws, region, image.id)
    snapshots = [s for s in image.snapshots if s.encrypted] if share.accounts else []
    each = [observe.snapshot_permissions(aws, region, s.id) for s in snapshots]
    return dataclasses.replace(
        image, shared=shared, snapshots_shared=frozenset.intersection(*each) if each else frozenset()
    )
