"""Plans, rollouts and their results, for a person and for a program."""

from __future__ import annotations

from amigen.cli.document import echo_line
from amigen.cli.outputs import PlaceResult, Rollout
from amigen.publish.steps import PlaceRun
from amigen.rollout.group import GroupRun
from amigen.rollout.release import Released


def show(found: Released) -> None:
    """The plans, with the differences, and the rollouts after them."""
    for run in found.runs:
        echo_line(run.place.key)
        if run.error:
            echo_line(f"  cannot be planned: {run.error.message}")
        elif not run.plan.actions:
            echo_line("  nothing to do")
        for number, action in enumerate(run.plan.actions, 1):
            echo_line(f"  {number}. {action.title}")
            for line in action.lines:
                echo_line(f"       {line}")
        for note in run.plan.notes:
            echo_line(f"  note: {note}")
    for each in found.groups:
        if each.error:
            echo_line(f"then: {each.group.text} cannot be rolled out: {each.error.message}")
        elif each.old:
            new = "(the new one)" if each.new is None else str(each.new)
            echo_line(f"then: roll the default version out to {each.group.text}: version {each.old} -> {new}")
        else:
            echo_line(f"then: {each.group.text}, which is not looked at: the region cannot be planned")


def conclude(found: Released) -> None:
    """Where things stand after applying."""
    echo_line("")
    for run in found.runs:
        if not run.applied:
            continue
        if run.error:
            echo_line(f"{run.place.key}: stopped after {len(run.done)} of {len(run.plan.actions)} steps")
            continue
        parts = [f"image {run.image}"]
        if run.template:
            default = ", the default" if run.default == run.version else ""
            parts.append(f"{run.place.target.template} ({run.template}) version {run.version}{default}")
        echo_line(f"{run.place.key}: " + ", ".join(parts))
        if run.warning:
            echo_line(f"  warning: {run.warning}")
    for each in found.groups if found.rolled_out else ():
        for line in filter(None, (each.done, each.returned)):
            echo_line(line)
        if not each.done and not each.error:
            echo_line(f"{each.group.text}: left, as one before it failed")
    if found.groups and not found.rolled_out:
        echo_line("no rollout: not everything before it was done")


def place_json(run: PlaceRun) -> PlaceResult:
    """The plan of a place, and what came of it."""
    document: PlaceResult = {
        "region": run.place.region,
        "platform": run.place.target.platform,
        "architecture": run.place.target.architecture,
        "error": run.error.message if run.error else None,
    }
    if run.applied or not run.error:
        document |= {
            "image": run.image,
            "template": run.template,
            "version": run.version,
            "actions": [{"step": a.step, "title": a.title, "diff": list(a.lines)} for a in run.plan.actions],
            "notes": list(run.plan.notes),
        }
    if run.applied:
        document |= {"default": run.default, "done": run.done, "warning": run.warning or None}
    return document


def rollout_json(each: GroupRun) -> Rollout:
    """What would be done with a group, and what came of it."""
    return {
        "group": each.group.text,
        "from": each.old or None,
        "to": each.new,
        "done": each.done or None,
        "takenBack": each.returned or None,
        "error": each.error.message if each.error else None,
    }
