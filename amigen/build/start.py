"""A build from what was asked for: the programs that it needs, what it would do, and the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amigen.aws.session import Aws, AwsOptions
from amigen.base.errors import InputError, ToolError
from amigen.build.aws_look import look_first
from amigen.build.aws_run import build_on_aws, built_already
from amigen.build.intent import Intent, make_intent
from amigen.build.leftovers import find_account
from amigen.build.local import build_here
from amigen.build.needs import lacking
from amigen.build.packer_tool import Packer, find_packer
from amigen.build.progress import make_progress
from amigen.build.run import Built, Job, Order
from amigen.images.base import Base
from amigen.spec.model import NodeImage
from amigen.vm.needs import require_all


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What is asked for.

    Attributes:
        place: Folder of the results.
        spec_folder: Folder of the spec.
        packer: Executable; None: as in PATH.
        variables: Of the Packer files.
        parallel: Images to build at once; None: one locally, all on AWS.
        fresh_base: Make or download the base again.
        keep: Leave a machine on which a check failed running.
        resume: Keep images already built from this spec.
        profile, endpoint_url: Of AWS.
    """

    spec: NodeImage
    jobs: tuple[Job, ...]
    target: Literal["local", "aws"]
    place: Path
    spec_folder: Path
    packer: str | None
    variables: dict[str, str]
    parallel: int | None
    fresh_base: bool
    keep: bool
    resume: bool
    profile: str | None
    endpoint_url: str | None


def packer_for(request: BuildRequest, *, dry_run: bool) -> Packer:
    """Packer, after all programs were looked for; a dry run asks for Packer alone.

    Raises:
        ToolError: Something is missing; all of it is named.
    """
    try:
        found = find_packer(request.packer, target=request.target)
    except ToolError as error:
        require_all([error, *([] if dry_run else _lacking(request))])
        raise
    if not dry_run:
        require_all(_lacking(request))
    return found


def _lacking(request: BuildRequest) -> list[ToolError]:
    return lacking(request.jobs, request.target, request.spec_folder, fresh=request.fresh_base)


def preview(request: BuildRequest, packer: Packer, *, offline: bool, say: Callable[[str], None]) -> Intent:
    """What would be built; on AWS it is asked for, unless `offline`."""
    look = None if offline or request.target == "local" else _look_on_aws(request, say)
    return make_intent(
        request.jobs,
        request.target,
        request.place,
        packer,
        spec_folder=request.spec_folder,
        fresh_base=request.fresh_base,
        built=built_already(request.jobs, request.place / "record.json") if request.resume else frozenset(),
        look=look,
    )


def _look_on_aws(request: BuildRequest, say: Callable[[str], None]) -> Callable[[Job], Base]:
    profile, endpoint_url = request.profile, request.endpoint_url
    aws = Aws(AwsOptions(profile=profile, endpoint_url=endpoint_url))

    def account() -> None:
        say(find_account(aws, request.spec.aws.region, profile=profile, endpoint_url=endpoint_url).text)

    return look_first(aws, request.spec, account)


def build_images(request: BuildRequest, packer: Packer) -> Built:
    """Build them, and show the progress."""
    local = request.target == "local"
    with make_progress() as progress:
        order = Order(
            jobs=request.jobs,
            target=request.target,
            output=request.place,
            packer=packer,
            keep=request.keep,
            progress=progress,
            parallel=request.parallel or (1 if local else len(request.jobs)),
        )
        if local:
            return build_here(
                order,
                spec_folder=request.spec_folder,
                packer_vars=request.variables,
                fresh_base=request.fresh_base,
            )
        return build_on_aws(
            order,
            resume=request.resume,
            packer_vars=request.variables,
            profile=request.profile,
            endpoint_url=request.endpoint_url,
        )


def packer_variables(given: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` of the Packer files.

    Raises:
        InputError: One has no value.
    """
    pairs = [each.partition("=") for each in given]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise InputError(f"--packer-var {name}: no value", "write NAME=VALUE")
    return {name: value for name, _, value in pairs}
