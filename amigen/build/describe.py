"""What a build would do and what it has done, in words."""

from __future__ import annotations

from pathlib import Path

from amigen.build.packer_tool import Packer
from amigen.build.record import BuildRecord, ImageRecord
from amigen.build.run import Job
from amigen.knowledge import PLATFORM_FACTS
from amigen.render.packer import source_parameter


def describe(jobs: tuple[Job, ...], target: str, place: Path, packer: Packer) -> str:
    """The plan of a build, for `--dry-run`."""
    lines = [f"would build {len(jobs)} image{'s' if len(jobs) != 1 else ''} with Packer {packer.text}:"]
    for job in jobs:
        source = _aws_source(job) if target == "aws" else _local_source(job)
        where = f"an AMI in {job.plan.spec.aws.region}" if target == "aws" else str(place / job.name / "disk.qcow2")
        lines.append(f"  {job.plan.platform}/{job.architecture}: {where}, from {source}")
        count = len(job.plan.checks)
        lines.append(f"    {len(job.plan.steps)} steps, kept only when its {count} checks have passed")
    if target == "aws":
        aws = jobs[0].plan.spec.aws
        if aws.copy_regions:
            lines.append(f"  then copied to {', '.join(aws.copy_regions)}")
        shared = (*aws.share.accounts, *aws.share.organizations, *aws.share.organizational_units)
        if shared:
            lines.append(f"  then shared with {', '.join(shared)}")
    lines.append(f"records and logs: {place / 'builds'}; nothing was done")
    return "\n".join(lines)


def _local_source(job: Job) -> str:
    base = job.plan.spec.local.bases.get(job.plan.platform)
    if base is None:
        return f"the built-in root of {PLATFORM_FACTS[job.plan.platform].title}"
    return base.path or base.url or "nothing"


def _aws_source(job: Job) -> str:
    parameter = source_parameter(job.plan, job.architecture)
    if parameter:
        return f"the AMI that {parameter} names"
    named = job.plan.spec.aws.source_amis.get(job.plan.platform)
    return named.id if named and named.id else "the newest AMI that the filter finds"


def conclusion(record: BuildRecord, path: Path, spec: str) -> str:
    """Where things are, and what to do next."""
    lines: list[str] = []
    for image in record.images:
        name = f"{image.platform}/{image.architecture}"
        if image.outcome != "built":
            lines.append(f"{name}: {image.outcome}; nothing was kept" + (f" (log: {image.log})" if image.log else ""))
            continue
        passed = sum(check.outcome == "passed" for check in image.checks)
        unproven = sum(check.outcome == "not provable" for check in image.checks)
        note = f", {unproven} not provable here" if unproven else ""
        lines.append(f"{name}: {_where(image)}; {passed} checks passed{note}; {sum(image.phases.values()):.0f} s")
        lines += [f"  {region}: not yet: {why}" for region, why in image.region_errors.items()]
    lines.append(f"record: {path}")
    lines += _next(record, spec)
    return "\n".join(lines)


def _where(image: ImageRecord) -> str:
    return image.file or ", ".join(f"{ami} in {region}" for region, ami in image.amis.items())


def _next(record: BuildRecord, spec: str) -> list[str]:
    built = [image for image in record.images if image.outcome == "built"]
    if not built:
        return []
    if record.target == "aws":
        if any(image.region_errors for image in built):
            return [f"next: amigen build {spec} --target aws --resume, for what is missing"]
        return [f"next: amigen publish {spec}, for launch templates"]
    return [f"next: amigen verify {spec} {built[0].file}, or boot it: docs/build.md says how"]
