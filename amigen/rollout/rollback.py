"""Back to a version that was the default before: a rollback, and what a failed rollout takes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amigen.aws.session import Aws
from amigen.base.errors import AmigenError, InputError, RefusedError
from amigen.publish import observe
from amigen.publish.ledger import Ledger
from amigen.publish.names import Place, read_history, read_rollback
from amigen.publish.promote import agreed, put_parameter, set_default
from amigen.publish.state import Template, Version
from amigen.publish.steps import Means, PlaceRun, apply
from amigen.rollout.group import Release, RolloutError


def plan_rollback(aws: Aws, place: Place, to: int | None) -> PlaceRun:
    """What a rollback of one place would do: the default goes back, and the parameter with it.

    Raises:
        InputError: There is no such template or version.
        RefusedError: The version's image is gone, or there is nothing to go back to.
    """
    name = place.target.template
    template = observe.find_template(aws, place.region, name)
    if template is None:
        raise InputError(f"there is no launch template {name} in {place.region}", "publish first")
    version, notes = _wanted(template, place, to)
    image = observe.find_image(aws, place.region, version.image) if version.image.startswith("ami-") else None
    if image is None or image.state != "available":
        state = f"is {image.state}" if image else "is gone"
        launches = version.image or "no image"
        raise RefusedError(
            f"version {version.number} of {name} in {place.region} launches {launches}, which {state}",
            "choose another with --to; `amigen images list SPEC` shows which images are there",
        )
    actions = [set_default(place, template, version, back=True)] if version.number != template.default else []
    parameter = observe.find_parameter(aws, place.region, place.target.parameter)
    if parameter and parameter != image.id:
        actions.append(put_parameter(place, image.id, parameter))
    return PlaceRun(
        place=place, actions=tuple(actions), image=image.id, template=template.id, version=version.number, notes=notes
    )


def _wanted(template: Template, place: Place, to: int | None) -> tuple[Version, tuple[str, ...]]:
    """The version to go back to: the one that was asked for, or the last that was the default.

    A lower number alone proves nothing: a version whose canary failed has one, too.
    """
    where = f"launch template {template.name} in {place.region}"
    if to is not None:
        version = template.version(to)
        if version is None:
            known = ", ".join(str(v.number) for v in template.versions)
            raise InputError(f"{where} has no version {to}", f"it has: {known}")
        return version, ()
    last = read_rollback(template.tags)
    if last and template.default in last:
        # A rollback that was cut off is finished; one that is done is done, however often it is asked for.
        version = template.version(last[1])
        if version is not None:
            done = f"it was rolled back from version {last[0]} to {last[1]} already; --to VERSION goes further"
            return version, (done,) if template.default == last[1] else ()
    for number in reversed(read_history(template.tags, template.default)):
        version = template.version(number)
        if version is not None:
            return version, ()
    older = [v for v in template.versions if v.number < template.default]
    if not older:
        raise RefusedError(f"{where} has no version before its default, {template.default}", "name one with --to")
    note = f"nobody wrote down what the default was before {template.default}; this is the next lower version"
    return older[-1], (note,)


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
