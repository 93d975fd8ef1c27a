"""After the proof: the tag of success, copies, sharing and deprecation, by the code of `amigen publish`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError
from amigen.build.record import BuildRecord, ImageRecord
from amigen.publish.ledger import ledger_beside, open_ledger
from amigen.publish.names import regions
from amigen.publish.plan import PublishRequest
from amigen.publish.record import read_images
from amigen.publish.run import look
from amigen.publish.steps import Means, apply
from amigen.publish.wait import Waiter
from amigen.spec.model import NodeImage

# Number of retries; publish finds what is still missing.
_TRIES = 3


def spread(
    aws: Aws, spec: NodeImage, record: BuildRecord, path: Path, waiter: Waiter
) -> tuple[BuildRecord, list[tuple[str, AmigenError]]]:
    """Tag, copy, share and deprecate the images of the record at `path`.

    Returns:
        The record with the AMI of each region, and what failed for good, by place. The image of the build stays
        whatever happens to its copies.
    """
    request = PublishRequest(spec=spec, path="", images_only=True)
    failures: dict[str, AmigenError] = {}
    amis: dict[str, dict[str, str]] = {}
    with open_ledger(ledger_beside(path), spec.name) as ledger:
        left: list[str] | None = None
        for _ in range(_TRIES):
            runs = look(aws, request, read_images(path, spec), regions(spec), waiter)
            chosen = [run for run in runs if left is None or run.place.key in left]
            apply(Means(aws=aws, ledger=ledger, waiter=waiter), chosen)
            for run in chosen:
                if run.image:
                    amis.setdefault(run.place.target.key, {})[run.place.region] = run.image
            failures = {run.place.key: run.error for run in chosen if run.error}
            left = list(failures)
            if not left:
                break
            waiter.say(f"retrying: {', '.join(left)}")
    return _with_amis(record, amis, failures), list(failures.items())


def _with_amis(record: BuildRecord, amis: dict[str, dict[str, str]], failures: dict[str, AmigenError]) -> BuildRecord:
    def one(image: ImageRecord) -> ImageRecord:
        key = f"{image.platform}/{image.architecture}"
        errors = {place.rpartition("/")[2]: e.message for place, e in failures.items() if place.startswith(f"{key}/")}
        return msgspec.structs.replace(image, amis={**image.amis, **amis.get(key, {})}, region_errors=errors)

    return msgspec.structs.replace(record, images=tuple(one(image) for image in record.images))
