"""`amigen build`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from amigen.base.errors import BuildError, InputError, ToolError
from amigen.build.describe import Asked, conclusion
from amigen.build.local import build_here
from amigen.build.needs import lacking
from amigen.build.packer_tool import Packer, find_packer
from amigen.build.progress import make_progress
from amigen.build.run import Built, Job, Order, jobs_of
from amigen.cli.document import echo_json, echo_text, output_option
from amigen.cli.failures import raise_failures
from amigen.cli.options import architecture_option, load, load_on_aws, platform_option, spec_argument
from amigen.spec.model import NodeImage
from amigen.vm.needs import require_all

if TYPE_CHECKING:
    from amigen.images.base import Base

_FOLDER = Path("amigen-build")


@click.command()
@spec_argument
@click.option("--target", type=click.Choice(["local", "aws"]), required=True, help="A disk image here, or AMIs.")
@platform_option
@architecture_option
@click.option(
    "-o",
    "--output-folder",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=_FOLDER,
    show_default=True,
    help="Images, logs and build records go to FOLDER/NAME.",
)
@click.option("--packer", "packer_path", type=click.Path(), help="Packer executable. Default: packer in PATH.")
@click.option(
    "--packer-var", "packer_vars", multiple=True, metavar="NAME=VALUE", help="Set a variable of the Packer files."
)
@click.option("--parallel", type=click.IntRange(1, 64), help="Images to build at once. Default: 1 locally, all on AWS.")
@click.option("--fresh-base", is_flag=True, help="local: make or download the base image again, ignoring the cache.")
@click.option("--keep", is_flag=True, help="Leave a machine on which a check failed running until Ctrl-C.")
@click.option(
    "--resume", is_flag=True, help="aws: keep images already built from this spec, and build the missing ones."
)
@click.option("--profile", help="aws: AWS profile. Default: AWS_PROFILE.")
@click.option("--endpoint-url", help="aws: endpoint URL for all AWS services. Default: AWS_ENDPOINT_URL.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be built, and change nothing. aws: asks for credentials, base image, subnet, volume size.",
)
@click.option("--offline", is_flag=True, help="aws: with --dry-run, do not ask AWS.")
@output_option
def build(
    spec: str,
    target: Literal["local", "aws"],
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    folder: Path,
    packer_path: str | None,
    packer_vars: tuple[str, ...],
    parallel: int | None,
    fresh_base: bool,
    keep: bool,
    resume: bool,
    profile: str | None,
    endpoint_url: str | None,
    dry_run: bool,
    offline: bool,
    output: str,
) -> None:
    """Build the images of SPEC with Packer, and keep those whose checks have passed."""
    if offline and not dry_run:
        raise click.UsageError("--offline belongs to --dry-run")
    _refuse_of_the_other_target(
        target,
        offline=offline,
        resume=resume,
        fresh_base=fresh_base,
        profile=profile is not None,
        endpoint_url=endpoint_url is not None,
    )
    node_image = load(spec) if target == "local" else load_on_aws(spec, profile)
    jobs = jobs_of(node_image, platforms, architectures)
    variables = _variables(packer_vars)
    place = folder / node_image.name
    spec_folder = Path.cwd() if spec == "-" else Path(spec).absolute().parent
    try:
        packer = find_packer(packer_path, target=target)
    except ToolError as error:
        require_all([error, *([] if dry_run else lacking(jobs, target, spec_folder, fresh=fresh_base))])
        raise
    click.echo(f"Packer {packer.text} ({packer.path})", err=True)
    if dry_run:
        look = None if offline or target == "local" else _look_on_aws(node_image, profile, endpoint_url)
        _dry_run(
            jobs, target, place, packer, spec_folder, fresh_base=fresh_base, resume=resume, look=look, output=output
        )
        return
    require_all(lacking(jobs, target, spec_folder, fresh=fresh_base))
    with make_progress() as progress:
        order = Order(
            jobs=jobs,
            target=target,
            output=place,
            packer=packer,
            keep=keep,
            progress=progress,
            parallel=parallel or (1 if target == "local" else len(jobs)),
        )
        if target == "local":
            built = build_here(order, spec_folder=spec_folder, packer_vars=variables, fresh_base=fresh_base)
        else:
            from amigen.build.aws_run import build_on_aws

            built = build_on_aws(
                order, resume=resume, packer_vars=variables, profile=profile, endpoint_url=endpoint_url
            )
    asked = Asked(
        spec=node_image,
        path=spec,
        platforms=platforms,
        architectures=architectures,
        folder=folder if folder != _FOLDER else None,
    )
    _report(built, asked, output)


def _refuse_of_the_other_target(target: str, **given: bool) -> None:
    """What would do nothing for this target was meant for something."""
    of_aws = ("resume", "profile", "endpoint_url", "offline")
    for name, there in given.items():
        if there and (name in of_aws) != (target == "aws"):
            raise InputError(f"--{name.replace('_', '-')} has no effect with --target {target}", "leave it out")


def _dry_run(
    jobs: tuple[Job, ...],
    target: Literal["local", "aws"],
    place: Path,
    packer: Packer,
    spec_folder: Path,
    *,
    fresh_base: bool,
    resume: bool,
    look: Callable[[Job], Base] | None,
    output: str,
) -> None:
    from amigen.build.aws_run import built_already
    from amigen.build.intent import intent_document, intent_lines, make_intent, require_possible

    built = built_already(jobs, place / "record.json") if resume else frozenset()
    intent = make_intent(
        jobs, target, place, packer, spec_folder=spec_folder, fresh_base=fresh_base, built=built, look=look
    )
    if output == "json":
        echo_json(intent_document(intent))
    else:
        echo_text("\n".join(intent_lines(intent)))
    require_possible(intent)


def _look_on_aws(spec: NodeImage, profile: str | None, endpoint_url: str | None) -> Callable[[Job], Base]:
    from amigen.aws.session import Aws, AwsOptions
    from amigen.build.account import find_account
    from amigen.build.aws_look import look_first

    aws = Aws(AwsOptions(profile=profile, endpoint_url=endpoint_url))

    def account() -> None:
        found = find_account(aws, spec.aws.region, profile=profile, endpoint_url=endpoint_url)
        click.echo(found.text, err=True)

    return look_first(aws, spec, account)


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise InputError(f"--packer-var {name}: no value", "write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _report(built: Built, asked: Asked, output: str) -> None:
    if output == "json":
        echo_json(msgspec.to_builtins(built.record))
    else:
        click.echo(conclusion(built.record, built.path, asked))
    if built.interrupted:
        raise click.Abort
    raise_failures([*built.errors.items()], mixed=BuildError)
