"""`amigen export`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
from msgspec.structs import replace

from amigen.base.errors import InputError
from amigen.cli.options import (
    architecture_option,
    find_spec,
    load,
    output_folder_option,
    platform_option,
    spec_argument,
)
from amigen.cli.render import folder_options, write_or_compare
from amigen.export.formats import FORMATS, FormatName, export_files
from amigen.export.model import ImageSource
from amigen.plan.choose import chosen_plans
from amigen.publish.record import recorded_amis
from amigen.spec.load import existing_user_data


@click.command()
@click.argument("format_", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@spec_argument
@platform_option
@architecture_option
@click.option("--cluster", default="", help="Name of the cluster, where the spec does not join one.")
@click.option(
    "--image",
    type=click.Choice(["parameter", "tags", "stock"]),
    help="Where the AMI comes from: the SSM parameter that `amigen publish` writes, the tags of proven images, or the"
    " distribution's own image, which user data makes ready. Default: parameter; for karpenter tags; for eksctl stock.",
)
@click.option(
    "--record", type=click.Path(dir_okay=False, path_type=Path), help="Take the AMI ids of this build record."
)
@click.option("--joined", is_flag=True, help="ssm-document: the nodes must have joined their cluster.")
@output_folder_option("Write to FOLDER/FORMAT/PLATFORM. Default: print the one file on stdout.")
@folder_options
def export(
    format_: FormatName,
    spec: str | None,
    platforms: tuple[str, ...],
    architectures: tuple[str, ...],
    cluster: str,
    image: ImageSource | None,
    record: Path | None,
    joined: bool,
    folder: Path | None,
    **how: bool,
) -> None:
    """Write SPEC for the tool that launches the nodes.

    FORMAT is terraform, karpenter, eksctl, cloudformation, image-builder or ssm-document.
    """
    if image and record:
        raise InputError("--image and --record both say where the AMI comes from", "leave one out")
    if folder is None and any(how.values()):
        raise click.UsageError("--check, --diff and --force need --output-folder.")
    spec = find_spec(spec)
    node_image = load(spec)
    merge = existing_user_data(node_image, spec)
    amis = recorded_amis(record, node_image) if record else {}
    found = {
        plan.platform: export_files(
            plan,
            format_,
            image="record" if record else image,
            amis=amis.get(plan.platform, {}),
            cluster=cluster,
            merge=merge,
            joined=joined,
        )
        for plan in chosen_plans(node_image, platforms, architectures)
    }
    wanted = [replace(each, path=f"{name}/{each.path}") for name, files in found.items() for each in files]
    if folder is not None:
        again = f"amigen export {format_} {shlex.quote(spec)} -o {shlex.quote(str(folder))}"
        write_or_compare(folder / format_, tuple(wanted), spec, again, **how)
        return
    if len(wanted) > 1:
        hint = "write them to a folder: -o FOLDER" + (", or choose one with --platform" if len(found) > 1 else "")
        raise InputError(f"{format_} has {len(wanted)} files for this spec", hint)
    sys.stdout.buffer.write(wanted[0].content)
