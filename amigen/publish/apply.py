"""Apply plans: regions side by side, the actions of one place in order, each written to the ledger when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amigen.base.errors import AmigenError
from amigen.publish import actions, image_steps, promote, template_steps
from amigen.publish.place_run import Means, PlaceRun
from amigen.publish.wait import attempt

_DO: dict[type[actions.Action], Callable[..., None]] = {
    actions.TagImage: image_steps.tag,
    actions.RemoveFailedCopy: image_steps.remove_failed,
    actions.CopyImage: image_steps.copy,
    actions.AwaitImage: image_steps.await_image,
    actions.ShareImage: image_steps.share,
    actions.DeprecateImage: image_steps.deprecate,
    actions.PutParameter: promote.put_parameter,
    actions.CreateTemplate: template_steps.create_template,
    actions.CreateVersion: template_steps.create_version,
    actions.RunCanary: template_steps.run_canary,
    actions.SetDefault: promote.set_default,
}


def apply(means: Means, runs: Sequence[PlaceRun]) -> None:
    """Apply the plans of all places that have one; each gets to its own end or error.

    Raises:
        KeyboardInterrupt: After the threads have ended; what is begun goes on in AWS.
    """
    attempt(lambda run: _one(means, run), [run for run in runs if not run.error], means.waiter)


def _one(means: Means, run: PlaceRun) -> None:
    plan, key = run.plan, run.place.key
    run.applied = True
    means.ledger.restart(key, digest=plan.digest, built=plan.built)
    found = [step for step, there in (("built", True), ("copied", plan.image), ("template", plan.version)) if there]
    means.ledger.note(key, *found, **_known(run))
    try:
        for action in plan.actions:
            means.waiter.say(f"{key}: {action.title}")
            _DO[type(action)](means, run, action)
            run.done.append(action.title)
            means.ledger.note(key, action.step, **_known(run))
    except AmigenError as error:
        run.error = error
        means.waiter.say(f"{key}: failed: {error.message}")


def _known(run: PlaceRun) -> dict[str, object]:
    known = {"image": run.image, "template": run.template, "version": run.version, "default": run.default}
    return {key: value for key, value in known.items() if value}
