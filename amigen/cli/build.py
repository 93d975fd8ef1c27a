"""`amigen build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from amigen.base.errors import BuildError, InputError
from amigen.build.describe import Asked, conclusion
from amigen.build.run import BuildRequest, jobs_of
from amigen.cli.document import echo_json, echo_text, output_option
from amigen.cli.failures import raise_failures
from amigen.cli.options import (
    architecture_option,
    find_spec,
    load,
    load_on_aws,
    output_folder_option,
    platform_option,
    spec_argument,
)

_FOLDER = Path("amigen-build")


@click.command()
@spec_argument
@click.option("--target", type=click.Choice(["local", "aws"]), required=True, help="A disk image here, or AMIs.")
@platform_option
@architecture_option
@output_folder_option("Images, logs and build records go to FOLDER/NAME.", default=_FOLDER, show_default=True)
@click.option("--packer", type=click.Path(), help="Packer executable. Default: packer in PATH.")
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
    spec: str | None,
    target: Literal["local", "aws"],
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    folder: Path,
    packer_vars: tuple[str, ...],
    dry_run: bool,
    offline: bool,
    output: str,
    **given: Any,
) -> None:
    """Build the images of SPEC with Packer, and keep those whose checks have passed."""
    from amigen.build.intent import intent_lines
    from amigen.build.start import build_images, packer_for, packer_variables, preview

    if offline and not dry_run:
        raise click.UsageError("--offline belongs to --dry-run")
    _refuse_of_the_other_target(target, {**given, "offline": offline})
    spec = find_spec(spec)
    node_image = load(spec) if target == "local" else load_on_aws(spec, given["profile"])
    request = BuildRequest(
        jobs=jobs_of(node_image, platforms, architectures),
        target=target,
        output=folder / node_image.name,
        spec_folder=Path.cwd() if spec == "-" else Path(spec).absolute().parent,
        variables=packer_variables(packer_vars),
        **given,
    )
    packer = packer_for(request, dry_run=dry_run)
    click.echo(f"Packer {packer.text} ({packer.path})", err=True)
    if dry_run:
        intent, error = preview(request, packer, offline=offline, say=lambda line: click.echo(line, err=True))
        if output == "json":
            echo_json(intent)
        else:
            echo_text("\n".join(intent_lines(intent)))
        if error:
            raise error
        return
    built = build_images(request, packer)
    if output == "json":
        echo_json(built.record)
    else:
        asked = Asked(
            spec=node_image,
            path=spec,
            platforms=platforms,
            architectures=architectures,
            folder=folder if folder != _FOLDER else None,
        )
        click.echo(conclusion(built.record, built.path, asked))
    if built.interrupted:
        raise click.Abort
    raise_failures([*built.errors.items()], mixed=BuildError)


def _refuse_of_the_other_target(target: str, given: dict[str, Any]) -> None:
    """What would do nothing for this target was meant for something."""
    for name in ("offline", "resume", "fresh_base", "profile", "endpoint_url"):
        if given[name] not in (None, False) and (name == "fresh_base") == (target == "aws"):
            raise InputError(f"--{name.replace('_', '-')} has no effect with --target {target}", "leave it out")
