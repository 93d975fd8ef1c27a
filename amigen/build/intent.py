"""What a build would do of what, on this machine: for `--dry-run`, as text and as a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from amigen.base.errors import AmigenError, ToolError
from amigen.build.base import base_in_words, look_at_base
from amigen.build.needs import lacking
from amigen.build.packer_tool import Packer
from amigen.build.run import Job
from amigen.images.base import Base
from amigen.plan.source import source_of
from amigen.vm.acceleration import probe
from amigen.vm.needs import require_all


@dataclass(frozen=True, kw_only=True)
class ImageIntent:
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


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A build before it is begun.

    Attributes:
        lacks: What this machine has not and the build needs.
        errors: By image, why it cannot be built.
    """

    target: Literal["local", "aws"]
    packer: str
    images: tuple[ImageIntent, ...]
    copy_regions: tuple[str, ...]
    shared_with: tuple[str, ...]
    records: str
    lacks: tuple[ToolError, ...]
    errors: dict[str, AmigenError]


def make_intent(
    jobs: tuple[Job, ...],
    target: Literal["local", "aws"],
    place: Path,
    packer: Packer,
    *,
    spec_folder: Path,
    fresh_base: bool = False,
    built: frozenset[str] = frozenset(),
    look: Callable[[Job], Base] | None = None,
) -> Intent:
    """Look at what there is; nothing is made.

    Args:
        built: Names of the jobs whose images are there and would be kept.
        look: Asks AWS what the build would ask first; None: AWS is not asked.
    """
    errors: dict[str, AmigenError] = {}
    images = []
    for job in jobs:
        if target == "aws":
            try:
                base = look(job) if look and job.name not in built else None
                images.append(_on_aws(job, job.name in built, base))
            except AmigenError as error:
                errors[job.name] = error
                images.append(_on_aws(job, False, None, str(error)))
            continue
        try:
            images.append(_local(job, place, _processor(job, spec_folder, fresh_base)))
        except AmigenError as error:
            errors[job.name] = error
            images.append(_local(job, place, "", str(error)))
    aws = jobs[0].plan.spec.aws
    left = [job for job in jobs if job.name not in built]
    shared = (*aws.share.accounts, *aws.share.organizations, *aws.share.organizational_units)
    shared += ("everybody",) if aws.share.public else ()
    return Intent(
        target=target,
        packer=packer.text,
        images=tuple(images),
        copy_regions=aws.copy_regions if target == "aws" else (),
        shared_with=shared if target == "aws" else (),
        records=str(place / "builds"),
        lacks=tuple(lacking(left, target, spec_folder, fresh=fresh_base)),
        errors=errors,
    )


def _processor(job: Job, spec_folder: Path, fresh: bool) -> str:
    """How the builder would run, once there is a base to run."""
    base = look_at_base(job.plan, job.architecture, spec_folder, fresh=fresh)
    return probe(job.architecture, base.image.kernel if base.image else None).sentence


def _local(job: Job, place: Path, processor: str, problem: str = "") -> ImageIntent:
    source = base_in_words(job.plan)
    return _image(job, str(place / job.name / "disk.qcow2"), source, processor=processor, problem=problem)


def _on_aws(job: Job, built: bool, base: Base | None, problem: str = "") -> ImageIntent:
    of = source_of(job.plan.spec, job.plan.platform, job.architecture)
    named = f"the AMI that {of.parameter} names" if of.parameter else "the newest AMI that the filter finds"
    found = base.image.id if base else ""
    return _image(
        job, f"an AMI in {job.plan.spec.aws.region}", of.image or named, built=built, base=found, problem=problem
    )


def _image(job: Job, place: str, source: str, **more: Any) -> ImageIntent:
    plan = job.plan
    return ImageIntent(
        platform=plan.platform,
        architecture=job.architecture,
        place=place,
        source=source,
        steps=len(plan.steps),
        checks=len(plan.checks),
        **more,
    )


def intent_lines(intent: Intent) -> Iterator[str]:
    """Lines of text output."""
    count = sum(not (image.built or image.problem) for image in intent.images)
    yield f"would build {count} image{'s' if count != 1 else ''} with Packer {intent.packer}:"
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


def intent_document(intent: Intent) -> dict[str, Any]:
    """The same for a program."""
    return {
        "target": intent.target,
        "packerVersion": intent.packer,
        "images": [asdict(image) for image in intent.images],
        "copyRegions": list(intent.copy_regions),
        "sharedWith": list(intent.shared_with),
        "lacks": [error.message for error in intent.lacks],
        "records": intent.records,
    }


def require_possible(intent: Intent) -> None:
    """What the build itself would end with before it begins.

    Raises:
        AmigenError: A requirement is missing, or an image cannot be built (the first of several).
    """
    require_all(intent.lacks)
    for error in intent.errors.values():
        raise error
