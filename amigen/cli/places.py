"""Plans and results by place, for a person and for a program."""

from __future__ import annotations

from collections.abc import Sequence

from amigen.cli.document import echo_line
from amigen.cli.outputs import PlaceResult
from amigen.publish.place_run import PlaceRun
from amigen.publish.run import PlaceStatus


def show(statuses: Sequence[PlaceStatus]) -> None:
    """The plans, with the differences."""
    for item in statuses:
        echo_line(f"{item.place.key}")
        if item.error:
            echo_line(f"  cannot be planned: {item.error.message}")
            continue
        assert item.plan is not None, "a place has a plan or an error"
        if not item.plan.actions:
            echo_line("  nothing to do")
        for number, action in enumerate(item.plan.actions, 1):
            echo_line(f"  {number}. {action.title}")
            for line in getattr(action, "lines", ()):
                echo_line(f"       {line}")
        for note in item.plan.notes:
            echo_line(f"  note: {note}")


def conclude(runs: Sequence[PlaceRun]) -> None:
    """Where things stand after applying."""
    echo_line("")
    for run in runs:
        if run.error:
            echo_line(f"{run.plan.place.key}: stopped after {len(run.done)} of {len(run.plan.actions)} steps")
            continue
        parts = [f"image {run.image}"]
        if run.template:
            default = ", the default" if run.default == run.version else ""
            parts.append(f"{run.plan.place.target.template} ({run.template}) version {run.version}{default}")
        echo_line(f"{run.plan.place.key}: " + ", ".join(parts))
        if run.warning:
            echo_line(f"  warning: {run.warning}")


def as_json(statuses: Sequence[PlaceStatus], runs: Sequence[PlaceRun] = ()) -> list[PlaceResult]:
    """Plans, and what came of those that were applied."""
    documents = {item.place.key: _plan(item) for item in statuses}
    for run in runs:
        documents[run.plan.place.key] |= {
            "image": run.image,
            "template": run.template,
            "version": run.version,
            "default": run.default,
            "done": run.done,
            "warning": run.warning or None,
            "error": run.error.message if run.error else None,
        }
    return list(documents.values())


def _plan(item: PlaceStatus) -> PlaceResult:
    place, plan = item.place, item.plan
    document: PlaceResult = {
        "region": place.region,
        "platform": place.target.platform,
        "architecture": place.target.architecture,
        "error": item.error.message if item.error else None,
    }
    if plan:
        document |= {
            "image": plan.image,
            "template": plan.template,
            "version": plan.version,
            "actions": [
                {"step": a.step, "title": a.title, "diff": list(getattr(a, "lines", ()))} for a in plan.actions
            ],
            "notes": list(plan.notes),
        }
    return document
