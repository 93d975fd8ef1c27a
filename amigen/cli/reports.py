"""Reports of checks: the options that `verify` and `fleet verify` share, and what they print and write."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amigen.base.files import require_writable, write_atomically
from amigen.cli.options import with_options

if TYPE_CHECKING:
    from amigen.verify.report import Report

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


def _writable(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    if file:
        require_writable(file)
    return file


def writable_folder(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """The value of an option for a folder that is made and written at the end of long work."""
    if folder:
        require_writable(folder / "log", make_folder=True)
    return folder


# What is printed and written; the command gets `junit`, `html` and `verbose`.
report_options = with_options(
    click.option("--junit", type=_FILE, callback=_writable, help="Write a JUnit XML file."),
    click.option("--html", type=_FILE, callback=_writable, help="Write an HTML report."),
    click.option("-v", "--verbose", is_flag=True, help="Print a line for each passed check."),
)


def show_reports(reports: Sequence[Report], *, verbose: bool) -> None:
    """Print a table of each report."""
    from rich.console import Console

    from amigen.verify.table import print_reports

    # Without a terminal, lines are as long as they are: logs are searched, not looked at.
    print_reports(reports, Console(highlight=False, width=None if sys.stdout.isatty() else 1000), every=verbose)


def write_reports(reports: Sequence[Report], junit: Path | None, html: Path | None) -> None:
    """Write the files that were asked for; no page of no report."""
    from amigen.verify.junit import junit as junit_document
    from amigen.verify.page import page

    if junit:
        _write(junit, junit_document(reports))
    if html and reports:
        _write(html, page(reports))


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all; a link stays one, and what is no file (`/dev/stdout`) is written to."""
    if file.exists() and not file.is_file():
        file.write_bytes(content)
    else:
        write_atomically(Path(os.path.realpath(file)), content)
