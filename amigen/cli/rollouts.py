"""The rollouts of a publish, for a person and for a program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from amigen.base.errors import InputError
from amigen.cli.document import echo_line
from amigen.cli.durations import Duration
from amigen.cli.options import with_options
from amigen.cli.outputs import Rollout
from amigen.rollout.group import Group, Preferences, RolloutPreview, parse_group
from amigen.rollout.run import Rolled

_F = TypeVar("_F", bound=Callable[..., Any])


_PERCENT = click.IntRange(min=0, max=100)
_SECONDS = Duration("s", whole=True)
_PREFERENCES = (
    click.option("--min-healthy", type=_PERCENT, help="Refresh: percentage of a group that stays in service."),
    click.option("--warm-up", type=_SECONDS, help="Refresh: time until a new instance counts as in service."),
    click.option(
        "--checkpoint", "checkpoints", type=_PERCENT, multiple=True, help="Refresh: pause at this percentage."
    ),
    click.option("--checkpoint-delay", type=_SECONDS, help="Refresh: length of each pause."),
    click.option(
        "--standby", type=click.Choice(["Terminate", "Ignore", "Wait"]), help="Refresh: instances in standby."
    ),
    click.option(
        "--protected",
        type=click.Choice(["Refresh", "Ignore", "Wait"]),
        help="Refresh: instances protected from scale in.",
    ),
    click.option("--force", is_flag=True, help="Node group: replace nodes whose pods cannot be evicted."),
)


def preference_options(command: _F) -> _F:
    """How nodes are replaced; the command gets `preferences`, which are None where nothing was said."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:

        given = {field.name: kwargs.pop(field.name) for field in dataclasses.fields(Preferences)}
        return command(*args, preferences=Preferences(**given), **kwargs)

    return with_options(*_PREFERENCES)(wrapped)  # type: ignore[return-value]


def parse_groups(given: Sequence[str], regions: Sequence[str], preferences: Preferences) -> tuple[Group, ...]:
    """The groups of `--rollout`, each once.

    Raises:
        InputError: One is not a group, or nothing is rolled out and there are preferences for it.
    """
    if not given:
        if preferences != Preferences():
            raise InputError("options of a rollout are given without --rollout", "add --rollout GROUP")
        return ()
    groups = dict.fromkeys(parse_group(text, regions) for text in given)
    return tuple(dataclasses.replace(group, preferences=preferences) for group in groups)


def show_previews(previews: Sequence[RolloutPreview]) -> None:
    """What comes after the plan."""
    for each in previews:
        if each.error:
            echo_line(f"then: {each.group.text} cannot be rolled out: {each.error.message}")
        elif each.old:
            new = "(the new one)" if each.new is None else str(each.new)
            echo_line(f"then: roll the default version out to {each.group.text}: version {each.old} -> {new}")
        else:
            echo_line(f"then: {each.group.text}, which is not looked at: the region cannot be planned")


def conclude_rollouts(previews: Sequence[RolloutPreview], rolled: Sequence[Rolled]) -> None:
    """What came of them."""
    for each in rolled:
        if each.done:
            echo_line(each.done)
        if each.returned:
            echo_line(each.returned)
        if not each.done and not each.error:
            echo_line(f"{each.group.text}: left, as one before it failed")
    if previews and not rolled:
        echo_line("no rollout: not everything before it was done")


def rollouts_json(previews: Sequence[RolloutPreview], rolled: Sequence[Rolled] = ()) -> list[Rollout]:
    """One object per group: what would be done, and what came of it."""
    came = {each.group: each for each in rolled}
    out: list[Rollout] = []
    for each in previews:
        found = came.get(each.group)
        error = (found.error if found else None) or each.error
        out.append(
            {
                "group": each.group.text,
                "from": each.old or None,
                "to": each.new,
                "done": (found.done if found else "") or None,
                "takenBack": (found.returned if found else "") or None,
                "error": error.message if error else None,
            }
        )
    return out
