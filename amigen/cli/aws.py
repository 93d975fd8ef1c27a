"""Options and output that the commands on AWS share."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from amigen.aws.session import Aws, AwsOptions
from amigen.base.errors import InputError, RefusedError
from amigen.cli.document import echo_line
from amigen.cli.durations import Duration
from amigen.cli.options import architecture_option, platform_option, selected, with_options
from amigen.publish import names
from amigen.publish.names import Place, Target
from amigen.publish.wait import Waiter
from amigen.spec.model import NodeImage

_F = TypeVar("_F", bound=Callable[..., Any])
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]+")

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


def aws_options(command: _F) -> _F:
    """As whom and where to call; the command gets them as `aws`, an `Aws`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        profile: str | None,
        endpoint_url: str | None,
        role_arn: str | None,
        external_id: str | None,
        read_timeout: float,
        **kwargs: Any,
    ) -> Any:

        if external_id and not role_arn:
            raise InputError("--external-id belongs to --role-arn", "name the role, too")
        options = AwsOptions(
            profile=profile,
            endpoint_url=endpoint_url,
            role_arn=role_arn,
            external_id=external_id,
            connect_timeout=min(10, read_timeout),
            read_timeout=read_timeout,
        )
        return command(*args, aws=Aws(options), **kwargs)

    return with_options(*_OPTIONS)(wrapped)  # type: ignore[return-value]


def wait_options(command: _F) -> _F:
    """How long to wait; the command gets a `Waiter` that tells its progress on stderr."""

    @functools.wraps(command)
    def wrapped(*args: Any, poll: float, timeout: float, **kwargs: Any) -> Any:
        return command(*args, waiter=Waiter(progress, every=poll, at_most=timeout * 60), **kwargs)

    return with_options(*_WAITS)(wrapped)  # type: ignore[return-value]


def progress(line: str) -> None:
    """One line on stderr, whole: several threads speak."""
    echo_line(f"  {line}", err=True)


def chosen_targets(spec: NodeImage, platforms: tuple[str, ...], architectures: tuple[str, ...]) -> tuple[Target, ...]:
    """The targets that were asked for.

    Raises:
        InputError: There is no such one in the spec.
    """
    chosen, kept = selected(spec, platforms, architectures)
    return tuple(each for each in names.targets(spec) if each.platform in chosen and each.architecture in kept)


def chosen_regions(spec: NodeImage, regions: Sequence[str], *, anywhere: bool = False) -> tuple[str, ...]:
    """The regions that were asked for, or all of the spec.

    Args:
        spec: The spec.
        regions: As given.
        anywhere: Also regions that are not in the spec (any more): images may have been left there.

    Raises:
        InputError: A region is not in the spec, or not the name of one.
    """
    known = names.regions(spec)
    for region in regions:
        if region not in known and not (anywhere and _REGION.fullmatch(region)):
            raise InputError(f"{region} is not a region of this spec", f"it has: {', '.join(known)}")
    if anywhere and regions:
        return tuple(dict.fromkeys(regions))
    return tuple(region for region in known if not regions or region in regions)


def chosen_places(
    spec: NodeImage, platforms: tuple[str, ...], architectures: tuple[str, ...], regions: Sequence[str]
) -> list[Place]:
    """The targets that were asked for, each in the regions that were asked for.

    Raises:
        InputError: The spec does not have one.
    """
    targets, where = chosen_targets(spec, platforms, architectures), chosen_regions(spec, regions)
    return [Place(region=region, target=target) for target in targets for region in where]


def confirm(yes: bool, question: str) -> None:
    """Ask before the world is changed.

    Raises:
        RefusedError: There is no terminal, or the user did not confirm.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError("cannot ask for confirmation: there is no terminal", "use --yes, or --dry-run")
    if not click.confirm(question, default=False, err=True):
        raise RefusedError("nothing was changed", "not confirmed")
