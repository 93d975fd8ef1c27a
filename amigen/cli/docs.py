"""`amigen docs`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from amigen.base.errors import InputError


def folder() -> Path:
    """Where the pages are: in the wheel beside this package, in a checkout at its top."""
    package = Path(__file__).parent.parent
    shipped = package / "_docs"
    return shipped if shipped.is_dir() else package.parent / "docs"


def pages() -> dict[str, Path]:
    """Name of a page -> its file."""
    return {file.stem: file for file in sorted(folder().glob("*.md"))}


@click.command(epilog="\b\nExample: amigen docs launch")
@click.argument("page", required=False, shell_complete=lambda *_: [each for each in pages() if each.startswith(_[2])])
def docs(page: str | None) -> None:
    """Show a PAGE of the documentation, or list the pages."""
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
