"""What a command prints: text for a person, and the one document of `--output json`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import click

from amigen.base.errors import AmigenError, ChecksFailedError, DiffersError, SpecError, plain, system_words
from amigen.base.interrupt import interrupted_exit_code

_F = TypeVar("_F", bound=Callable[..., Any])


class _Document:
    """The document of a command that runs: whether `--output json` was given, and what it holds so far."""

    wanted = False
    content: Any = None


_DOCUMENT: ContextVar[_Document | None] = ContextVar("_DOCUMENT", default=None)


def _remember(_: click.Context, __: click.Parameter, value: str) -> str:
    kept = _DOCUMENT.get()
    if kept is not None:
        kept.wanted = value == "json"
    return value


def _output(*formats: str) -> Callable[[_F], _F]:
    return click.option(
        "--output",
        type=click.Choice(formats),
        default="text",
        show_default=True,
        # Before the other parameters, so that a failure of theirs is in the document.
        is_eager=True,
        callback=_remember,
        help="Output format.",
    )


output_option = _output("text", "json")
markdown_output_option = _output("text", "markdown", "json")


def echo_json(value: Any) -> None:
    """Print a document for programs; the one of `--output json` is printed at the end of the command."""
    import msgspec

    document = msgspec.to_builtins(value)
    kept = _DOCUMENT.get()
    if kept is not None and kept.wanted:
        kept.content = document
        return
    click.echo(_printable_json(document))


@contextlib.contextmanager
def json_document() -> Iterator[None]:
    """Print the document of `--output json` at the end of a command, with `errors`, also where the command failed.

    Findings (differences, failed checks) are in the document, and are not errors of the command. A document that is a
    list has no room for `errors`; its items say what failed. A command that failed before it had a document prints
    `errors` alone.
    """
    kept = _Document()
    token = _DOCUMENT.set(kept)
    errors: list[dict[str, Any]] = []
    try:
        yield
    except BaseException as error:
        errors = _errors(error, has_document=kept.content is not None)
        raise
    finally:
        _DOCUMENT.reset(token)
        if kept.wanted and isinstance(kept.content, list):
            echo_json(kept.content)
        elif kept.wanted and (kept.content is not None or errors):
            echo_json({**(kept.content or {}), "errors": errors})


def _errors(error: BaseException, *, has_document: bool) -> list[dict[str, Any]]:
    """What `errors` says of the exception that ended a command."""
    if isinstance(error, SpecError):
        stops = [p for p in error.problems if p.severity == "error"] or error.problems
        return [
            {
                "where": f"{error.file}:{p.line}:{p.column}" if p.line else error.file,
                "message": f"{p.path}: {p.message}" if p.path else p.message,
                "hint": p.hint or None,
                "exitCode": error.exit_code,
            }
            for p in stops
        ]
    if isinstance(error, AmigenError):
        if has_document and isinstance(error, (ChecksFailedError, DiffersError)):
            return []
        return [
            {"where": where or None, "message": each.message, "hint": each.hint or None, "exitCode": each.exit_code}
            for where, each in error.parts or (("", error),)
        ]
    if isinstance(error, click.ClickException):
        message, code = error.format_message(), error.exit_code
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        message, code = "interrupted", interrupted_exit_code()
    elif isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        message, code = system_words(error), 1
    else:
        return []
    return [{"where": None, "message": message, "hint": None, "exitCode": code}]


def _printable_json(document: Any) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or ""
    utf8 = encoding.lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not utf8)
    # What a terminal obeys is not only below 32, where JSON escapes by itself.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def echo_line(text: str, *, err: bool = False) -> None:
    """One line, of which parts may come from elsewhere: no part of it breaks the line, or commands the terminal."""
    click.echo(plain(text, keep="\t"), err=err)


def echo_text(text: str) -> None:
    """Several lines, of which parts may come from elsewhere; a line break at the end is not needed."""
    click.echo(plain(text, keep="\n\t").rstrip("\n"))
