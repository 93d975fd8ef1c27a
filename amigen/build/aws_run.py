"""A build on AWS from its beginning to its end: build, prove, note, then copy and share what was proven."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from amigen.aws.session import Aws, AwsOptions, ec2_endpoint
from amigen.base.errors import AmigenError, InputError
from amigen.build.aws import AwsBuild, build_aws
from amigen.build.aws_look import require_subnet
from amigen.build.leftovers import clean_up_interrupted_build, clean_up_killed_builds, find_account, noted
from amigen.build.record import BuildRecord, read_record, write_record
from amigen.build.run import BuildRequest, Built, Order, keep_record, run_build
from amigen.build.stop import Stop
from amigen.publish.ledger import ledger_beside, open_ledger
from amigen.publish.names import regions
from amigen.publish.plan import PublishRequest
from amigen.publish.record import read_images
from amigen.publish.run import look
from amigen.publish.steps import Means, apply
from amigen.publish.wait import Waiter
from amigen.spec.model import NodeImage

JOB = "aws"
_POLL_SECONDS = 15
# How often what is left is tried; publish finds what is still missing.
_TRIES = 3


def build_on_aws(order: Order) -> Built:
    """Build all images of the order, side by side; then tag, copy and share those that are proven.

    With `resume`, images of this very spec that the record names are not built again.
    """
    request, spec = order.request, order.request.spec
    profile, endpoint_url = request.profile, request.endpoint_url
    aws = Aws(AwsOptions(profile=profile, endpoint_url=endpoint_url))
    ec2_url = ec2_endpoint(spec.aws.region, profile=profile, endpoint_url=endpoint_url)
    account = find_account(aws, spec.aws.region, profile=profile, endpoint_url=ec2_url)
    path = request.output / "record.json"

    def say(text: str) -> None:
        order.progress.line(JOB, text)

    clean_up_killed_builds(aws, account, say)
    require_subnet(aws, spec)
    done = built_already(request)
    for name in sorted(done):
        say(f"{name} is built already")
    build = AwsBuild(aws=aws, order=order, endpoint_url=ec2_url)
    left = tuple(job for job in request.jobs if job.name not in done)
    spot = spec.aws.builder.spot is not None
    if left:
        with noted(order.build_id, spec.aws.region, account, spot=spot):
            left_order = dataclasses.replace(order, request=dataclasses.replace(request, jobs=left))
            built = run_build(left_order, lambda session: build_aws(session, build), Stop())
            # Version 1.8.2 of Packer's plugin crashes where a fleet is refused, and removes nothing.
            if built.interrupted or (spot and built.errors):
                kept = frozenset(image.image_id for image in built.record.images if image.image_id)
                clean_up_interrupted_build(aws, spec.aws.region, order.build_id, kept, say, spot=spot)
    else:
        built = Built(record=read_record(path), path=path, errors={}, interrupted=False)
    return _finish(aws, order, built, path, Waiter(say, every=_POLL_SECONDS))


def _finish(aws: Aws, order: Order, built: Built, path: Path, waiter: Waiter) -> Built:
    """Tag, copy and share what was built. Whatever comes between: the images stay, and are said."""
    spec = order.request.spec
    try:
        if keep_record(built, path) is None:
            return built
        if not built.interrupted:
            order.progress.phase(JOB, "tag, copy and share")
            amis, failures = spread(aws, spec, path, waiter)
            count = f"{len(failures)} of its places failed" if failures else "all places have what they should"
            order.progress.end(JOB, count, well=not failures)
            built = dataclasses.replace(built, errors={**built.errors, **failures})
            return _noted(built, path, amis, {key: error.message for key, error in failures.items()})
        why = "interrupted"
    except KeyboardInterrupt:
        order.progress.end(JOB, "interrupted; the images stay", well=False)
        built, why = dataclasses.replace(built, interrupted=True), "interrupted"
    except AmigenError as error:
        order.progress.end(JOB, f"failed; the images stay: {error.message}", well=False)
        built = dataclasses.replace(built, errors={**built.errors, "tag, copy and share": error})
        why = error.message
    # Which regions have what they should is not known: the next `--resume` looks.
    keys = [f"{image.platform}/{image.architecture}" for image in built.record.images]
    return _noted(built, path, {}, {f"{key}/{region}": why for key in keys for region in regions(spec)})


def spread(
    aws: Aws, spec: NodeImage, path: Path, waiter: Waiter
) -> tuple[dict[str, dict[str, str]], dict[str, AmigenError]]:
    """Tag, copy, share and deprecate the images of the record at `path`, by the code of `amigen publish`.

    Returns:
        Image -> region -> AMI, and what failed for good, by place. The image of the build stays whatever happens to its
        copies.
    """
    request = PublishRequest(spec=spec, path="", images_only=True)
    failures: dict[str, AmigenError] = {}
    amis: dict[str, dict[str, str]] = {}
    with open_ledger(ledger_beside(path), spec.name) as ledger:
        for number in range(_TRIES):
            runs = look(aws, request, read_images(path, spec), regions(spec), waiter)
            chosen = [run for run in runs if number == 0 or run.place.key in failures]
            apply(Means(aws=aws, ledger=ledger, waiter=waiter), chosen)
            for run in chosen:
                if run.image:
                    amis.setdefault(run.place.target.key, {})[run.place.region] = run.image
            failures = {run.place.key: run.error for run in chosen if run.error}
            if not failures:
                break
            waiter.say(f"retrying: {', '.join(failures)}")
    return amis, failures


def _noted(built: Built, path: Path, amis: dict[str, dict[str, str]], errors: dict[str, str]) -> Built:
    """Write where the images are, and by place why they are not there yet, into the records of the build and of the
    current images.
    """

    def noted(record: BuildRecord) -> BuildRecord:
        images = []
        for image in record.images:
            key = f"{image.platform}/{image.architecture}"
            found = {place.rpartition("/")[2]: why for place, why in errors.items() if place.startswith(f"{key}/")}
            if image.outcome == "built" and (found or key in amis):
                known = {**image.amis, **amis.get(key, {})}
                image = msgspec.structs.replace(image, amis=known, region_errors=found)
            images.append(image)
        return msgspec.structs.replace(record, images=tuple(images))

    built = dataclasses.replace(built, record=noted(built.record))
    write_record(built.record, built.path)
    if built.path != path and (current := keep_record(built, path)):
        write_record(noted(current), path)
    return built


def built_already(request: BuildRequest) -> frozenset[str]:
    """Names of the jobs whose image stays: with `resume`, those in the record of this very spec."""
    try:
        record = read_record(request.output / "record.json")
    except InputError:
        return frozenset()
    if not request.resume or record.spec_digest != request.jobs[0].plan.digest:
        return frozenset()
    found = {f"{image.platform}-{image.architecture}" for image in record.images if image.verified}
    return frozenset(found & {job.name for job in request.jobs})
