"""What a build would do of what, on this machine: the document of `--dry-run`, and its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from amigen.base.errors import AmigenError, ToolError
from amigen.base.words import counted
from amigen.build.base import base_in_words, look_at_base
from amigen.build.needs import lacking
from amigen.build.packer_tool import Packer
from amigen.build.run import BuildRequest, Job
from amigen.plan.source import source_of
from amigen.publish.state import Image
from amigen.vm.acceleration import probe
from amigen.vm.needs import require_all


class ImageIntent(Struct, frozen=True, kw_only=True):
    """One image.

    Attributes:
        place: File or region.
        source: The base in words.
        processor: How a local builder would run; empty on AWS, and where it cannot be said.
        built: It is there already, and would be kept.
        problem: Why it cannot be built here; empty where nothing is known to stand in the way.
        base: On AWS the AMI that the build would take now; empty where AWS was not asked.
    """

    platform: str
    architecture: str
    place: str
    source: str
    steps: int
    checks: int
    processor: str = ""
    built: bool = False
    problem: str = ""
    base: str = ""


class Intent(Struct, frozen=True, kw_only=True, rename="camel"):
    """A build before it is begun."""

    target: Literal["local", "aws"]
    packer_version: str
    images: tuple[ImageIntent, ...]
    copy_regions: tuple[str, ...]
    shared_with: tuple[str, ...]
    lacks: Annotated[tuple[str, ...], Meta(description="What this machine lacks and the build needs.")]
    records: Annotated[str, Meta(description="Folder of the build records.")]


def make_intent(
    request: BuildRequest,
    packer: Packer,
    *,
    built: frozenset[str] = frozenset(),
    look: Callable[[Job], Image] | None = None,
) -> tuple[Intent, AmigenError | None]:
    """Look at what there is; nothing is made.

    Args:
        built: Names of the jobs whose images are there and would be kept.
        look: Asks AWS what the build would ask first; None: AWS is not asked.

    Returns:
        The intent, and what the build itself would end with before it begins; None where it would begin.
    """
    stops: list[AmigenError] = []
    images = []
    for job in request.jobs:
        found: dict[str, Any] = {"built": job.name in built}
        try:
            if request.target == "local":
                base = look_at_base(job.plan, job.architecture, request.spec_folder, fresh=request.fresh_base)
                found["processor"] = probe(job.architecture, base.image.kernel if base.image else None).sentence
            elif look and job.name not in built:
                found["base"] = look(job).id
        except AmigenError as error:
            stops.append(error)
            found["problem"] = str(error)
        images.append(_image(job, request, found))
    aws = request.spec.aws
    shared = (*aws.share.named, *(["everybody"] if aws.share.public else []))
    lacks = lacking(replace(request, jobs=tuple(job for job in request.jobs if job.name not in built)))
    try:
        require_all(lacks)
    except ToolError as error:
        stops.insert(0, error)
    on_aws = request.target == "aws"
    intent = Intent(
        target=request.target,
        packer_version=packer.text,
        images=tuple(images),
        copy_regions=aws.copy_regions if on_aws else (),
        shared_with=shared if on_aws else (),
        lacks=tuple(error.message for error in lacks),
        records=str(request.output / "builds"),
    )
    return intent, next(iter(stops), None)


def _image(job: Job, request: BuildRequest, found: dict[str, Any]) -> ImageIntent:
    plan = job.plan
    if request.target == "local":
        place, source = str(request.output / job.name / "disk.qcow2"), base_in_words(plan)
    else:
        of = source_of(plan.spec, plan.platform, job.architecture)
        named = f"the AMI that {of.parameter} names" if of.parameter else "the newest AMI that the filter finds"
        place, source = f"an AMI in {plan.spec.aws.region}", of.image or named
    return ImageIntent(
        platform=plan.platform,
        architecture=job.architecture,
        place=place,
        source=source,
        steps=len(plan.steps),
        checks=len(plan.checks),
        **found,
    )


def intent_lines(intent: Intent) -> Iterator[str]:
    """Lines of text output."""
    count = sum(not (image.built or image.problem) for image in intent.images)
    yield f"would build {counted(count, 'image')} with Packer {intent.packer_version}:"
    for image in intent.images:
        name = f"  {image.platform}/{image.architecture}"
        if image.built:
            yield f"{name}: is built already, and stays"
        elif image.problem:
            here = " here" if intent.target == "local" else ""
            yield f"{name}: cannot be built{here}: {image.problem.replace(chr(10), chr(10) + '  ')}"
        else:
            now = f": {image.base} now" if image.base and image.base != image.source else ""
            yield f"{name}: {image.place}, from {image.source}{now}"
            yield f"    {image.steps} steps, kept only when its {image.checks} checks have passed"
            if image.processor:
                yield f"    {image.processor}"
    if intent.copy_regions:
        yield f"  then copied to {', '.join(intent.copy_regions)}"
    if intent.shared_with:
        yield f"  then shared with {', '.join(intent.shared_with)}"
    yield f"records and logs: {intent.records}; nothing was done"
