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
from amigen.build.spread import spread
from amigen.build.stop import Stop
from amigen.publish.names import regions
from amigen.publish.wait import Waiter

JOB = "aws"
_POLL_SECONDS = 15


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
    try:
        record = keep_record(built, path)
        if record is None:
            return built
        if not built.interrupted:
            order.progress.phase(JOB, "tag, copy and share")
            return _spread(aws, order, built, record, path, waiter)
    except KeyboardInterrupt:
        order.progress.end(JOB, "interrupted; the images stay", well=False)
    except AmigenError as error:
        order.progress.end(JOB, f"failed; the images stay: {error.message}", well=False)
        built = dataclasses.replace(built, errors={**built.errors, "tag, copy and share": error})
        return _unfinished(built, path, order, error.message)
    return _unfinished(dataclasses.replace(built, interrupted=True), path, order, "interrupted")


def _unfinished(built: Built, path: Path, order: Order, why: str) -> Built:
    """Images are there, and which regions have what they should is not known: the next `--resume` looks."""
    errors = dict.fromkeys(regions(order.request.spec), why)
    images = tuple(
        msgspec.structs.replace(image, region_errors=errors) if image.outcome == "built" else image
        for image in built.record.images
    )
    built = dataclasses.replace(built, record=msgspec.structs.replace(built.record, images=images))
    write_record(built.record, built.path)
    if built.path != path:
        keep_record(built, path)
    return built


def _spread(aws: Aws, order: Order, built: Built, record: BuildRecord, path: Path, waiter: Waiter) -> Built:
    record, failures = spread(aws, order.request.spec, record, path, waiter)
    write_record(record, path)
    count = f"{len(failures)} of its places failed" if failures else "all places have what they should"
    order.progress.end(JOB, count, well=not failures)
    # The build's own record names the copies, too; an image that failed to build is only there.
    named = {(image.platform, image.architecture): image for image in record.images}
    images = tuple(named.get((i.platform, i.architecture), i) for i in built.record.images)
    final = dataclasses.replace(
        built, record=msgspec.structs.replace(built.record, images=images), errors={**built.errors, **dict(failures)}
    )
    if built.path != path:
        write_record(final.record, built.path)
    return final


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
