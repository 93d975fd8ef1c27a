"""`amigen docs`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from amigen.base.errors import InputError
from amigen.base.files import write_atomically
from amigen.base.shipped import folder


def pages() -> dict[str, Path]:
    """Name of a page -> its file."""
    return {file.stem: file for file in sorted(folder("docs").glob("*.md"))}


@click.command(epilog="\b\nExample: amigen docs launch")
@click.argument("page", required=False, shell_complete=lambda *_: [each for each in pages() if each.startswith(_[2])])
@click.option(
    "--man",
    "man_folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the man pages to FOLDER/man1, such as ~/.local/share/man.",
)
@click.pass_context
def docs(ctx: click.Context, page: str | None, man_folder: Path | None) -> None:
    """Show a PAGE of the documentation, or list the pages."""
    if man_folder is not None:
        _write_man_pages(ctx, man_folder)
        return
    found = pages()
    if page is None:
        width = max(map(len, found))
        for name, file in found.items():
            title = re.match(r"# (.*)", file.read_text(encoding="utf-8"))
            click.echo(f"{name:{width}}  {title[1] if title else ''}")
        return
    if page not in found:
        raise InputError(f"there is no page {page!r}", f"known: {', '.join(found)}")
    click.echo_via_pager(found[page].read_text(encoding="utf-8"))


def _write_man_pages(ctx: click.Context, into: Path) -> None:
    from amigen.cli.man import man_pages

    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    made = man_pages(root)
    target = into.expanduser() / "man1"
    for name, text in made.items():
        write_atomically(target / name, text.encode())
    click.echo(f"wrote {len(made)} pages to {target}; read them with: man -M {shlex.quote(str(target.parent))} amigen")
