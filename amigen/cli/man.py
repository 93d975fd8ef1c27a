"""Man pages out of the help texts: one of amigen, and one of each command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from amigen import __version__


def man_pages(root: click.Group) -> dict[str, str]:
    """Name of a file, such as `amigen-build.1` -> the page in man(7)'s macros."""
    context = click.Context(root, info_name="amigen", **root.context_settings)
    return {f"{path.replace(' ', '-')}.1": _page(path, each) for path, each in _contexts("amigen", context)}


def _contexts(path: str, context: click.Context) -> Iterator[tuple[str, click.Context]]:
    yield path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _contexts(f"{path} {name}", click.Context(command, info_name=name, parent=context))


def _page(path: str, context: click.Context) -> str:
    command = context.command
    lines = [f'.TH "{path.replace(" ", "-").upper()}" 1 "" "amigen {__version__}" "amigen"', ".SH NAME"]
    lines += [f"{_text(path.replace(' ', '-'))} \\- {_text(command.get_short_help_str(limit=200))}"]
    lines += [".SH SYNOPSIS", f"{_bold(path)} {_text(' '.join(command.collect_usage_pieces(context)))}"]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    records = [each.get_help_record(context) for each in command.get_params(context)]
    options = [record for record in records if record and record[1]]
    if options:
        lines += [".SH OPTIONS", *_terms(options)]
    if isinstance(command, click.Group):
        inner = [(n, c) for n in command.list_commands(context) if (c := command.get_command(context, n))]
        lines += [".SH COMMANDS", *_terms((name, each.get_short_help_str(limit=200)) for name, each in inner)]
        see = [f"{path} {name}" for name, _ in inner]
    else:
        see = ["amigen"]
    lines += [".SH NOTES", *_paragraphs(command.epilog or "")] if command.epilog else []
    lines += [".SH SEE ALSO", ",\n".join(f"{_bold(each.replace(' ', '-'))}(1)" for each in see)]
    return "\n".join(lines) + "\n"


def _terms(records: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    for term, text in records:
        yield from (".TP", _bold(term), *_paragraphs(text, between=".IP"))


def _paragraphs(text: str, between: str = ".PP") -> Iterator[str]:
    r"""Blocks of text; one that click is not to wrap (`\b`) keeps its lines."""
    for number, block in enumerate(re.split(r"\n\s*\n", text.strip())):
        yield from [between] * (number > 0)
        first, *rest = block.strip().splitlines() or [""]
        if first.strip() == "\b":
            yield from (".nf", *map(_text, rest), ".fi")
        else:
            yield _text(" ".join(block.split()))


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _text(text: str) -> str:
    """Text in which nothing is a macro or an escape of roff."""
    escaped = text.strip().replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
