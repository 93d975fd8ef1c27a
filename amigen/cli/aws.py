"""Options and output that the commands on AWS share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from amigen.aws.session import Aws, AwsOptions
from amigen.base.errors import InputError, RefusedError
from amigen.cli.document import echo_line, output_option
from amigen.cli.durations import Duration
from amigen.cli.options import architecture_option, find_spec, load_on_aws, platform_option, spec_argument, with_options
from amigen.publish.wait import Waiter
from amigen.spec.model import NodeImage

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--profile", help="AWS profile. Default: AWS_PROFILE."),
    click.option("--endpoint-url", help="Endpoint URL for all AWS services. Default: AWS_ENDPOINT_URL."),
    click.option("--role-arn", help="Assume this role."),
    click.option("--external-id", help="External id for --role-arn."),
    click.option(
        "--read-timeout",
        type=Duration("s", least=0.1),
        default="60s",
        show_default=True,
        help="How long to wait for a response of AWS.",
    ),
)
_WAITS = (
    click.option("--poll", type=Duration("s"), default="15s", show_default=True, help="Time between two polls."),
    click.option("--timeout", type=Duration("m"), default="2h", show_default=True, help="Longest time to wait."),
)
# A part of the spec; the command gets `platforms`, `architectures` and `regions` as given.
target_options = with_options(
    platform_option,
    architecture_option,
    click.option("--region", "regions", multiple=True, help="Only this region of the spec. May be repeated."),
)
record_option = click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Build record. Default: the one that `amigen build` writes; the ledger of publishing is beside it.",
)


@dataclass(frozen=True, kw_only=True)
class OnAws:
    """What a command on AWS works with; the spec is read when it is asked for, after all options were judged.

    Attributes:
        named: The spec, as for `find_spec`.
        json: Whether the command prints the document of `--output json`.
    """

    named: str | None
    aws: Aws
    json: bool

    @cached_property
    def path(self) -> str:
        """File of the spec."""
        return find_spec(self.named)

    @cached_property
    def spec(self) -> NodeImage:
        """The spec, in a region that people expect."""
        return load_on_aws(self.path, self.aws.profile)


def on_aws(command: _F) -> _F:
    """A command on a spec, with `--output` and the options of AWS; it gets them as `on`, an `OnAws`."""

    @functools.wraps(command)
    def wrapped(*args: Any, spec: str | None, output: str, **kwargs: Any) -> Any:
        names = ("profile", "endpoint_url", "role_arn", "external_id", "read_timeout")
        given = {name: kwargs.pop(name) for name in names}
        if given["external_id"] and not given["role_arn"]:
            raise InputError("--external-id belongs to --role-arn", "name the role, too")
        options = AwsOptions(**given, connect_timeout=min(10, given["read_timeout"]))
        return command(*args, on=OnAws(named=spec, aws=Aws(options), json=output == "json"), **kwargs)

    return with_options(spec_argument, output_option, *_OPTIONS)(wrapped)  # type: ignore[return-value]


def wait_options(command: _F) -> _F:
    """How long to wait; the command gets a `Waiter` that tells its progress on stderr."""

    @functools.wraps(command)
    def wrapped(*args: Any, poll: float, timeout: float, **kwargs: Any) -> Any:
        return command(*args, waiter=Waiter(progress, every=poll, at_most=timeout * 60), **kwargs)

    return with_options(*_WAITS)(wrapped)  # type: ignore[return-value]


def progress(line: str) -> None:
    """One line on stderr, whole: several threads speak."""
    echo_line(f"  {line}", err=True)


def hidden(_: object) -> None:
    """Show nothing: the JSON document at the end has the plan, too."""


def asking(yes: bool) -> Callable[[str], None]:
    """What asks a question before the world is changed; with `yes` it does not.

    It raises RefusedError where there is no terminal, or the user did not confirm.
    """

    def ask(question: str) -> None:
        if yes:
            return
        if not sys.stdin.isatty():
            raise RefusedError("cannot ask for confirmation: there is no terminal", "use --yes, or --dry-run")
        if not click.confirm(question, default=False, err=True):
            raise RefusedError("nothing was changed", "not confirmed")

    return ask


def parse_tag(text: str) -> tuple[str, str]:
    """`KEY=VALUE`.

    Raises:
        InputError: It is not.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"{text!r} is not a tag", "write it as KEY=VALUE")
    return key, value
