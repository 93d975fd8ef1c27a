"""`amigen render`."""

from __future__ import annotations

from pathlib import Path

import click

from amigen.base.errors import DiffersError
from amigen.cli.options import find_spec, load, output_folder_option, spec_argument, with_options
from amigen.render.artifacts import Artifact, artifacts
from amigen.render.folder import change_diff, compare, write
from amigen.spec.load import existing_user_data

# The command gets `check_only`, `diff_only` and `force`, for `write_or_compare`.
folder_options = with_options(
    click.option(
        "--check",
        "check_only",
        is_flag=True,
        help="Write nothing; print a diff and exit with 4 if the folder differs from the spec.",
    ),
    click.option("--diff", "diff_only", is_flag=True, help="Write nothing; show what would change."),
    click.option("--force", is_flag=True, help="Overwrite files that were edited by hand."),
)


@click.command()
@spec_argument
@output_folder_option("Folder to write. Other files in it are kept.", required=True)
@folder_options
def render(spec: str | None, folder: Path, **how: bool) -> None:
    """Render SPEC into a folder: user data, scripts, Packer files and checks, per platform."""
    spec = find_spec(spec)
    image = load(spec)
    wanted = artifacts(image, merge=existing_user_data(image, spec))
    write_or_compare(folder, wanted, spec, f"amigen render {spec} -o {folder}", **how)


def write_or_compare(
    folder: Path,
    wanted: tuple[Artifact, ...],
    spec: str,
    command: str,
    *,
    check_only: bool,
    diff_only: bool,
    force: bool,
) -> None:
    """Write the files, or show what would change.

    Args:
        command: What writes them, for the hint.

    Raises:
        DiffersError: `check_only`, and the folder is not what the spec says.
        ConflictError: Files were edited by hand, and `force` is not set.
    """
    if check_only or diff_only:
        found = compare(folder, wanted)
        for change in found.changes:
            click.echo("".join(change_diff(change)), nl=False)
        if check_only and found.changes:
            raise DiffersError(f"{folder} is not what {spec} says: {len(found.changes)} files differ", command)
        click.echo(
            f"{folder}: {len(found.changes)} files would change" if found.changes else f"{folder}: up to date",
            err=diff_only,
        )
        return
    found = write(folder, wanted, force=force)
    for change in found.changes:
        note = " (was edited by hand)" if change.path in found.edited else ""
        click.echo(f"{change.word} {folder / change.path}{note}")
    click.echo(
        f"{folder}: {len(wanted)} files, {len(found.changes)} changed" if found.changes else f"{folder}: up to date"
    )
