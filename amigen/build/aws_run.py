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
from amigen.build.run import Built, Job, Order, keep_record, now_utc, run_build
from amigen.build.spread import spread
from amigen.build.stop import Stop
from amigen.publish.names import regions
from amigen.publish.wait import Waiter

JOB = "aws"


def build_on_aws(
    order: Order,
    *,
    resume: bool = False,
    packer_vars: dict[str, str],
    profile: str | None,
    endpoint_url: str | None,
    poll_seconds: float = 15,
) -> Built:
    """Build all images of the order, side by side; then tag, copy and share those that are proven.

    With `resume`, images of this very spec that the record names are not built again.
    """
    spec = order.jobs[0].plan.spec
    aws = Aws(AwsOptions(profile=profile, endpoint_url=endpoint_url))
    ec2_url = ec2_endpoint(spec.aws.region, profile=profile, endpoint_url=endpoint_url)
    account = find_account(aws, spec.aws.region, profile=profile, endpoint_url=ec2_url)
    path = order.output / "record.json"

    def say(text: str) -> None:
        order.progress.line(JOB, text)

    clean_up_killed_builds(aws, account, say)
    require_subnet(aws, spec)
    done = built_already(order.jobs, path) if resume else frozenset()
    for name in sorted(done):
        say(f"{name} is built already")
    build = AwsBuild(
        aws=aws,
        build_id=order.build_id,
        endpoint_url=ec2_url,
        packer_vars=packer_vars,
        # Packer's plugins of today know the address of the other services (Systems Manager) by the environment.
        environment={k: v for k, v in (("AWS_PROFILE", profile), ("AWS_ENDPOINT_URL", endpoint_url)) if v},
    )
    stop = Stop()
    left = dataclasses.replace(order, jobs=tuple(job for job in order.jobs if job.name not in done))
    spot = spec.aws.builder.spot is not None
    if left.jobs:
        with noted(order.build_id, spec.aws.region, account, spot=spot):
            built = run_build(left, lambda session: build_aws(session, build), stop)
            # Version 1.8.2 of Packer's plugin crashes where a fleet is refused, and removes nothing.
            if built.interrupted or (spot and built.errors):
                kept = frozenset(image.image_id for image in built.record.images if image.image_id)
                clean_up_interrupted_build(aws, spec.aws.region, order.build_id, kept, say, spot=spot)
    else:
        built = Built(record=read_record(path), path=path, errors={}, interrupted=False)
    return _finish(aws, order, built, path, Waiter(say, every=poll_seconds))


def _finish(aws: Aws, order: Order, built: Built, path: Path, waiter: Waiter) -> Built:
    """Tag, copy and share what was built. Whatever comes between: the images stay, and are said."""
    spec = order.jobs[0].plan.spec
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
        failed = dataclasses.replace(built, errors={**built.errors, "tag, copy and share": error})
        return _unfinished(failed, path, dict.fromkeys(regions(spec), error.message))
    cut = dataclasses.replace(built, interrupted=True)
    return _unfinished(cut, path, dict.fromkeys(regions(spec), "interrupted"))


def _unfinished(built: Built, path: Path, errors: dict[str, str]) -> Built:
    """Images are there, and which regions have what they should is not known: the next `--resume` looks."""
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
    record, failures = spread(aws, order.jobs[0].plan.spec, record, path, waiter, now_utc())
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


def built_already(jobs: tuple[Job, ...], path: Path) -> frozenset[str]:
    """Names of the jobs whose image is in the record of this very spec."""
    try:
        record = read_record(path)
    except InputError:
        return frozenset()
    if record.spec_digest != jobs[0].plan.digest:
        return frozenset()
    found = {f"{image.platform}-{image.architecture}" for image in record.images if image.verified}
    return frozenset(found & {job.name for job in jobs})
