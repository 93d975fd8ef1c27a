"""Options and output that several commands share."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from amigen.base.errors import InputError
from amigen.cli.document import echo_line

if TYPE_CHECKING:
    from amigen.spec.load import Checked
    from amigen.spec.model import NodeImage

REGION = "aws.region"
SPEC_VARIABLE = "AMIGEN_SPEC"
_F = TypeVar("_F", bound=Callable[..., Any])


def with_options(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Add options to a command; help lists them in this order."""

    def decorate(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def output_folder_option(words: str, **more: Any) -> Callable[[_F], _F]:
    """The command gets `folder`; `words` are its help."""
    path = click.Path(file_okay=False, path_type=Path)
    return click.option("-o", "--output-folder", "folder", type=path, help=words, **more)


class Group(click.Group):
    """A group of commands whose help shows the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=200)) for name, each in self.commands.items()])


def find_spec(named: str | None) -> str:
    """The file of a spec: as named, the one in a folder that is named, or the one of the current folder.

    Args:
        named: A file, a folder, `-`, or None for the variable AMIGEN_SPEC or else the current folder.

    Raises:
        InputError: The folder holds no spec, or several.
    """
    if named == "":
        raise InputError("the name of the spec is empty", "leave it out for the one spec of the current folder")
    given = named or os.environ.get(SPEC_VARIABLE) or "."
    folder = Path(given)
    try:
        is_folder = given != "-" and folder.is_dir()
    except (OSError, ValueError):
        # Longer than a file name may be, or with a NUL: reading it says so.
        is_folder = False
    if not is_folder:
        return given
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
    except OSError as error:
        raise InputError(f"cannot look for a spec in {folder}: {error.strerror}", "name the spec") from None
    found = [str(path) for path in files if is_spec(path)]
    if len(found) != 1:
        listed = f"several specs: {', '.join(found)}" if found else "no spec"
        hint = "name one" if found else "`amigen init` writes a first one"
        raise InputError(f"{folder.resolve() if given == '.' else folder} holds {listed}", hint)
    if not named and not is_quiet():
        echo_line(f"amigen: using {found[0]}", err=True)
    return found[0]


def is_spec(path: Path) -> bool:
    with contextlib.suppress(OSError):
        with path.open("rb") as stream:
            head = stream.read(1 << 16)
        return bool(re.search(rb"(?m)^apiVersion:\s*[\"']?amigen/", head))
    return False


# As named, or None: the command finds and reads it, after all that may be wrong in its options.
spec_argument = click.argument(
    "spec", metavar="[SPEC]", required=False, type=click.Path(allow_dash=True, readable=False)
)


def complete_platform(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The platforms that amigen knows, for the shell."""
    from amigen.platforms import PLATFORMS

    return [name for name in PLATFORMS if name.startswith(incomplete)]


def complete_architecture(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The architectures that amigen knows, for the shell."""
    return [name for name in ("x86_64", "arm64") if name.startswith(incomplete)]


def complete_target(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The beginnings of targets, or the files of the folder: an image or an unpacked root is a target, too."""
    from amigen.connections import SCHEMES

    words = [scheme if scheme == "local" else f"{scheme}://" for scheme in SCHEMES]
    found = [CompletionItem(word) for word in words if word.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


platform_option = click.option(
    "--platform",
    "platforms",
    multiple=True,
    help="Only this platform of the spec. May be repeated.",
    shell_complete=complete_platform,
)
architecture_option = click.option(
    "--architecture",
    "architectures",
    multiple=True,
    help="Only this architecture of the spec. May be repeated.",
    shell_complete=complete_architecture,
)


def _key_file(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    # ssh only warns of one that is not there, and tries the other keys.
    if value and not Path(value).expanduser().is_file():
        raise click.BadParameter(f"{value!r}: there is no such file.")
    return value


def _ssh_config(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.match(r"-.|[A-Za-z0-9]+[= ].", value):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as StrictHostKeyChecking=accept-new.")
    return values


ssh_options = (
    click.option("--identity", metavar="FILE", callback=_key_file, help="ssh: the key to use."),
    click.option(
        "--ssh-option",
        "ssh_options",
        multiple=True,
        callback=_ssh_config,
        metavar="NAME=VALUE",
        help="ssh: an option, as in ssh_config(5). May be repeated.",
    ),
)


def load_checked(named: str | None) -> Checked:
    """The spec of a command, with what there is to say about it; warnings and notes go to stderr.

    Args:
        named: As for `find_spec`.

    Raises:
        InputError: As `find_spec`.
        SpecError: It has errors.
    """
    # Here, and not above: `amigen verify` begins to connect while this is loaded.
    from amigen.spec.load import check_file
    from amigen.spec.scripts import with_scripts

    checked = with_scripts(check_file(find_spec(named)))
    checked.require()
    for problem in () if is_quiet() else checked.problems:
        if problem.severity != "error":
            click.echo(problem.text(checked.file), err=True)
    return checked


def load(named: str | None) -> NodeImage:
    """As `load_checked`, the spec alone."""
    return load_checked(named).require()


def load_on_aws(named: str | None, profile: str | None) -> NodeImage:
    """The spec of a command that calls AWS: in regions that people expect.

    Args:
        profile: Of the shared configuration; None for that of the environment.

    Raises:
        SpecError: It has errors.
        RefusedError: It names no region, and the environment or the profile says another than its default.
    """
    from amigen.aws.session import require_region

    checked = load_checked(named)
    spec = checked.require()
    if REGION not in checked.written and (note := require_region(spec.aws.region, profile, checked.file)):
        echo_line(note, err=True)
    return spec


def is_quiet() -> bool:
    """Whether `amigen --quiet` was asked for."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and (ctx.find_root().obj or {}).get("quiet"))
