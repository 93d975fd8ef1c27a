"""A build from what was asked for: the programs that it needs, what it would do, and the images."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from amigen.aws.session import Aws, AwsOptions
from amigen.base.errors import AmigenError, InputError, ToolError
from amigen.build.aws_look import find_usable_base, require_subnet
from amigen.build.aws_run import build_on_aws, built_already
from amigen.build.intent import Intent, make_intent
from amigen.build.leftovers import find_account
from amigen.build.local import build_here
from amigen.build.needs import lacking
from amigen.build.packer_tool import Packer, find_packer
from amigen.build.progress import make_progress
from amigen.build.run import BuildRequest, Built, Job, Order
from amigen.publish.state import Image
from amigen.vm.needs import require_all


def packer_for(request: BuildRequest, *, dry_run: bool) -> Packer:
    """Packer, after all programs were looked for; a dry run asks for Packer alone.

    Raises:
        ToolError: Something is missing; all of it is named.
    """
    missing = [] if dry_run else lacking(request)
    try:
        found = find_packer(request.packer, target=request.target)
    except ToolError as error:
        require_all([error, *missing])
        raise
    require_all(missing)
    return found


def preview(
    request: BuildRequest, packer: Packer, *, offline: bool, say: Callable[[str], None]
) -> tuple[Intent, AmigenError | None]:
    """What would be built, and why it would not begin; on AWS it is asked for, unless `offline`."""
    look = None if offline or request.target == "local" else _look_on_aws(request, say)
    return make_intent(request, packer, built=built_already(request), look=look)


def _look_on_aws(request: BuildRequest, say: Callable[[str], None]) -> Callable[[Job], Image]:
    """What a build asks AWS first, for one image; credentials and subnet are asked once."""
    profile, endpoint_url, spec = request.profile, request.endpoint_url, request.spec
    aws = Aws(AwsOptions(profile=profile, endpoint_url=endpoint_url))

    @cache
    def problem_of_all() -> AmigenError | None:
        try:
            say(find_account(aws, spec.aws.region, profile=profile, endpoint_url=endpoint_url).text)
            require_subnet(aws, spec)
        except AmigenError as error:
            return error
        return None

    def look(job: Job) -> Image:
        if error := problem_of_all():
            raise error
        return find_usable_base(aws, job.plan, job.architecture)

    return look


def build_images(request: BuildRequest, packer: Packer) -> Built:
    """Build them, and show the progress."""
    with make_progress() as progress:
        order = Order(request=request, packer=packer, progress=progress)
        return build_here(order) if request.target == "local" else build_on_aws(order)


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
