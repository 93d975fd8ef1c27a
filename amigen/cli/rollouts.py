"""The rollouts of a publish, for a person and for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amigen.cli.options import echo_line

if TYPE_CHECKING:
    from amigen.rollout.group import Group, RolloutPreview
    from amigen.rollout.run import Rolled


def parse_groups(given: Sequence[str], regions: Sequence[str]) -> tuple[Group, ...]:
    """The groups of `--rollout`, each once."""
    if not given:
        return ()
    from amigen.rollout.group import parse_group

    return tuple(dict.fromkeys(parse_group(text, regions) for text in given))


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


def rollouts_json(previews: Sequence[RolloutPreview], rolled: Sequence[Rolled] = ()) -> list[dict[str, Any]]:
    """One object per group: what would be done, and what came of it."""
    came = {each.group: each for each in rolled}
    out = []
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
