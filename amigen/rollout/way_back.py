"""The way back of a rollout: which versions stand now, and how default and parameter return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amigen.base.errors import AmigenError
from amigen.publish import observe
from amigen.publish.ledger import Ledger
from amigen.publish.names import read_history, read_rollback
from amigen.publish.promote import agreed
from amigen.publish.state import Template
from amigen.publish.steps import Means, PlaceRun, apply
from amigen.rollout.group import Release, RolloutError
from amigen.rollout.rollback import plan_rollback


def releases_of(means: Means, region: str, runs: Sequence[PlaceRun]) -> tuple[Release, ...]:
    """The default versions that stand in a region now, with those before them.

    Raises:
        ConflictError: Somebody else has moved the default since a run moved it.
    """
    out = []
    for run in runs:
        if run.place.region != region:
            continue
        template = _as_left(means, run)
        if template is None:
            continue
        begun = read_rollback(template.tags)
        history = read_history(template.tags, template.default)
        if begun and begun[0] == template.default:
            # A going back that was cut off has taken the history back already, and says where it was going.
            history = (*history, begun[1])
        out.append(
            Release(
                place=run.place,
                template=template.id,
                version=template.default,
                old=history[-1] if history else None,
                resolving=frozenset(
                    v.number for v in template.versions if str(v.data.get("ImageId", "")).startswith("resolve:")
                ),
            )
        )
    return tuple(out)


def _as_left(means: Means, run: PlaceRun) -> Template | None:
    """The template of a run; a look that is behind, and sees the default before the run, would roll out that one."""
    place = run.place

    def look() -> tuple[int, Template | None]:
        found = observe.find_template(means.aws, place.region, place.target.template)
        return (found.default if found else 0), found

    if run.default is None:
        return look()[1]
    what = f"launch template {place.target.template} in {place.region}"
    return agreed(what, look, (run.default, 0), "nothing was rolled out; look at the plan again", means.waiter)[1]


def default_back(means: Means, release: Release) -> str:
    """Move default and parameter back after a failed rollout; says what was done.

    Raises:
        RolloutError: They are not back.
    """
    if release.old is None:
        raise RolloutError("the previous default is unknown; leaving it unchanged", "name it: --to of rollback")
    try:
        run = plan_rollback(means.aws, release.place, release.old)
        apply(replace(means, ledger=Ledger()), [run])
        error = run.error
    except AmigenError as found:
        error = found
    if error:
        raise RolloutError(
            f"default or parameter are still those of version {release.version}: {error.message}", error.hint
        )
    means.ledger.went_back(release.place.key, default=release.old)
    return f"the default is version {release.old} again"
