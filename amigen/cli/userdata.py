"""`amigen user-data`: print one document, or explain what arrives on the node."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import cast

import click

from amigen.base.errors import InputError, plain
from amigen.base.files import read_file
from amigen.cli.document import echo_json, output_option
from amigen.cli.options import Group, complete_platform, find_spec, load, spec_argument
from amigen.plan.choose import one_plan
from amigen.spec.load import existing_user_data
from amigen.spec.values import Architecture
from amigen.userdata import make, mime
from amigen.userdata.describe import explanation_lines, problem_line
from amigen.userdata.document import parse
from amigen.userdata.make import Format
from amigen.userdata.received import is_spec, of_file, of_spec
from amigen.userdata.systems import SYSTEMS, SystemName

_MAX_BYTES = 1024 * 1024


class _PrintByDefault(Group):
    """`amigen user-data SPEC` prints; `amigen user-data explain SPEC` explains."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["print", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `print`, which need not be named, above the commands."""
        click.Command.format_options(self.commands["print"], ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group("user-data", cls=_PrintByDefault, subcommand_metavar="[print] SPEC | explain SPEC|FILE")
def user_data() -> None:
    """Print one user data document of SPEC on stdout, or explain what arrives on the node."""


@user_data.command("print")
@spec_argument
@click.option("--platform", help="Platform. Required if the spec has several.", shell_complete=complete_platform)
@click.option(
    "--architecture",
    "--arch",
    "architecture",
    help="Architecture; the document is the same for all, and this asks that the spec has it.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["shell", "cloud-config", "mime", "parts", "external"]),
    help="parts: a JSON list for Terraform; external: a flat JSON object for its data source of that name. "
    "Default: mime for a spec that joins a cluster and for al2023, where EKS takes nothing else; else shell.",
)
@click.option("--merge", type=click.Path(dir_okay=False, path_type=Path), help="Existing user data to merge (MIME).")
@click.option(
    "--gzip/--no-gzip",
    "gzip_",
    default=None,
    help="Compress the whole document, or nothing. Default: compress scripts if the document would be too large.",
)
@click.option("--base64", "as_base64", is_flag=True, help="Print base64, as launch templates require.")
def print_(
    spec: str | None,
    platform: str | None,
    architecture: str | None,
    format_: str | None,
    merge: Path | None,
    gzip_: bool | None,
    as_base64: bool,
) -> None:
    """Print one document on stdout."""
    as_json = format_ in ("parts", "external")
    if as_json and (gzip_ or as_base64):
        raise InputError(f"the format {format_} is JSON of text", "leave out --gzip and --base64")
    spec = find_spec(spec)
    image = load(spec)
    plan = one_plan(image, platform, cast("Architecture | None", architecture))
    if merge and image.user_data.merge is not None:
        raise InputError(f"the spec merges {image.user_data.merge} already", "merge the two files, or leave one out")
    existing = _read(merge) if merge else existing_user_data(image, spec)
    asked = {"parts": "mime", "external": None}.get(format_ or "", format_)
    made = make.make(plan, format_=cast("Format | None", asked), merge=existing, gzip_=gzip_)
    document = made.content
    for note in made.notes:
        click.echo(plain(problem_line(note)), err=True)
    if as_json:
        multipart = parse(document).type == mime.MULTIPART
        echo_json(make.part_list(document) if format_ == "parts" else make.external(document, multipart=multipart))
        return
    if as_base64:
        document = base64.b64encode(document) + b"\n"
    elif document[:2] == b"\x1f\x8b" and sys.stdout.isatty():
        raise InputError("refusing to write binary data to a terminal", "redirect it, or add --base64")
    sys.stdout.buffer.write(document)


@user_data.command("explain")
@click.argument("file", metavar="[SPEC|FILE]", required=False, type=click.Path(allow_dash=True, readable=False))
@click.option(
    "--for", "system", type=click.Choice(list(SYSTEMS)), required=True, help="System that launches the nodes."
)
@click.option("--platform", help="Platform of the nodes: one of SPEC, or that of FILE (default: al2023).")
@click.option("--show", type=click.IntRange(min=1), help="Print this part alone, unpacked: its place in the document.")
@output_option
def explain(file: str | None, system: str, platform: str | None, show: int | None, output: str) -> None:
    """Show the user data that a node receives after the system has merged its own parts. Accepts any user data."""
    source = click.get_current_context().get_parameter_source("output")
    if show and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--show prints one part as it is; it takes no --output.")
    path = Path(find_spec(file))
    raw = _read(path)
    received = of_spec(load(str(path)), path, platform) if is_spec(raw) else of_file(raw, platform)
    if show:
        sys.stdout.buffer.write(received.part(show))
        return
    found = received.explain(cast(SystemName, system))
    if output == "json":
        echo_json(found)
    else:
        for line in explanation_lines(found):
            click.echo(plain(line))
    if any(problem.severity == "error" for problem in found.problems):
        sys.exit(InputError.exit_code)


def _read(path: Path) -> bytes:
    return read_file(path, limit=_MAX_BYTES, hint="name a spec, or a file with user data")
