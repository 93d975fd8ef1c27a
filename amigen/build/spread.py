"""After the proof: the tag of success, copies, sharing and deprecation, by the code of `amigen publish`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.build.record import BuildRecord, ImageRecord
from amigen.publish.apply import Applier
from amigen.publish.ledger import open_ledger
from amigen.publish.names import regions
from amigen.publish.plan import PublishRequest
from amigen.publish.record import read_images
from amigen.publish.run import PlaceStatus, look, places
from amigen.publish.wait import Waiter
from amigen.spec.model import NodeImage

# Number of retries; publish finds what is still missing.
_TRIES = 3


def spread(
    aws: Aws, spec: NodeImage, record: BuildRecord, path: Path, waiter: Waiter, now: datetime
) -> tuple[BuildRecord, list[tuple[str, AmigenError]]]:
    """Tag, copy, share and deprecate the images of the record at `path`.

    Returns:
        The record with the AMI of each region, and what failed for good, by place. The image of the build stays
        whatever happens to its copies.
    """
    request = PublishRequest(spec=spec, digest=record.spec_digest, user_data={}, now=now, templates=False)
    failures: dict[str, AmigenError] = {}
    amis: dict[str, dict[str, str]] = {}
    with open_ledger(path.with_name("publish-ledger.json"), spec.name) as ledger:
        left: list[str] | None = None
        for _ in range(_TRIES):
            statuses = look(aws, request, read_images(path, spec), regions(spec), waiter)
            chosen = [item for item in statuses if left is None or item.place.key in left]
            failures = _apply(aws, ledger, chosen, waiter, amis)
            left = list(failures)
            if not left:
                break
            waiter.say(f"retrying: {', '.join(left)}")
    return _with_amis(record, amis, failures), list(failures.items())


def _apply(
    aws: Aws, ledger: Any, statuses: list[PlaceStatus], waiter: Waiter, amis: dict[str, dict[str, str]]
) -> dict[str, AmigenError]:
    failures = {item.place.key: item.error for item in statuses if item.error}
    for run in Applier(aws=aws, ledger=ledger, waiter=waiter).apply(places(statuses)):
        place = run.plan.place
        if run.image:
            amis.setdefault(place.target.key, {})[place.region] = run.image
        if run.error:
            failures[place.key] = run.error
    return failures


def _with_amis(record: BuildRecord, amis: dict[str, dict[str, str]], failures: dict[str, AmigenError]) -> BuildRecord:
    def one(image: ImageRecord) -> ImageRecord:
        key = f"{image.platform}/{image.architecture}"
        errors = {place.rpartition("/")[2]: e.message for place, e in failures.items() if place.startswith(f"{key}/")}
        return msgspec.structs.replace(image, amis={**image.amis, **amis.get(key, {})}, region_errors=errors)

    return msgspec.structs.replace(record, images=tuple(one(image) for image in record.images))
