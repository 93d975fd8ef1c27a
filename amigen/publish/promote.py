"""The steps that bring a version to the nodes: canary, parameter, default, each only from where it was last seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.base.errors import AwsError, ConflictError, RefusedError
from amigen.publish import observe
from amigen.publish.diff import difference
from amigen.publish.names import TAG_HISTORY, TAG_ROLLBACK, Place, read_history, write_history
from amigen.publish.state import Template, Version
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags
from amigen.publish.wait import TooLongError, Waiter

# SSM checks the image within seconds; a parameter that has not changed after this will not.
PARAMETER_SECONDS = 120.0
# So many looks at a default before it is believed to be another than it should be.
_LOOKS = 6
_PAUSE = 2.0
_T = TypeVar("_T")


def run_canary(place: Place, version: Version | None) -> Action:
    """Launch one instance of the new version, verify it, terminate it."""

    def do(means: Means, run: PlaceRun) -> None:
        assert means.canary is not None, "a plan with a canary was made without one"
        means.canary(means, run)

    title = f"launch a canary of {place.target.template} version {_number(version)}, verify it, terminate it"
    return Action(step="canary", title=title, do=do)


def put_parameter(place: Place, image: str | None, old: str | None) -> Action:
    """Write the id of the image to its SSM parameter if it is still what the plan saw, and see that it is there.

    The data type lets SSM itself check the image, after it has said 200: "The aws:ec2:image value is validated
    asynchronously"; where that fails, the parameter is not created or updated. What launches from the parameter must
    not be told before it is. Sources: DataType of
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html,
    https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Args:
        image: None for the copy that the same plan makes.
        old: What stands there; None where there is no parameter yet.
    """
    region, name = place.region, place.target.parameter
    what, is_still = f"parameter {name}", f"is still {old or 'not there'}"

    def do(means: Means, run: PlaceRun) -> None:
        refuse_warned(means, run)
        new = run.ami

        def look() -> tuple[bool | None, str]:
            seen = observe.find_parameter(means.aws, region, name)
            if seen not in (old, new):
                raise ConflictError(
                    f"{what} in {region} is {seen or 'gone'}, it was {old or 'not there'} when the plan was made",
                    "another publisher is active; look at the plan again",
                )
            return (True, "") if seen == new else (None, is_still)

        if not look()[0]:
            given = {"Name": name, "Value": new, "Type": "String", "DataType": "aws:ec2:image"}
            try:
                means.aws.call(calls.PUT_PARAMETER, region, what, **given, Overwrite=old is not None)
            except CallError as error:
                # Somebody else's, or our own by a request whose answer was lost: what it says tells the two apart.
                if error.code != "ParameterAlreadyExists":
                    raise
            try:
                means.waiter.until(f"{what} in {region}", look, every=_PAUSE, at_most=PARAMETER_SECONDS)
            except TooLongError:
                raise AwsError(
                    f"{what} in {region} {is_still}: SSM took {new} and did not keep it",
                    f"is {new} available to this account in {region}? then run the same command again",
                ) from None
        means.ledger.note(run.place.key, parameter=name)

    title = f"parameter {name}: {old or '(none)'} -> {image or '(the copy)'}"
    return Action(step="parameter", title=title, do=do)


def set_default(place: Place, template: Template, version: Version | None, *, back: bool = False) -> Action:
    """Move `$Default` if it is still where the plan saw it, and keep in the template's tags what it was before.

    A rollback takes the history back, too, and says so. EC2 has no conditional form of ModifyLaunchTemplate, so the
    default is looked at right before and right after.

    Args:
        template: As the plan saw it; if its default is another when the action comes, somebody else was there.
        version: None for the version that the same plan makes, which shows the difference.
        back: A rollback.
    """
    region, what = place.region, f"launch template {template.name}"

    def do(means: Means, run: PlaceRun) -> None:
        new = run.version
        assert new is not None, "the default moves to a version"
        refuse_warned(means, run)

        def look() -> tuple[int, dict[str, str]]:
            answer = means.aws.call(calls.DESCRIBE_TEMPLATES, region, what, LaunchTemplateIds=[template.id])
            found = answer.first("LaunchTemplates")
            return int(found["DefaultVersionNumber"]), {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}

        def settled(*allowed: int) -> tuple[int, dict[str, str]]:
            hint = f"version {new} is there; look at the plan again"
            return agreed(f"{what} in {region}", look, allowed, hint, means.waiter)

        seen, tags = settled(template.default, new)
        if seen != new:
            # Written before the move: a cut in between leaves an intent that the next run can see and finish.
            history = read_history(tags, seen)
            kept = (*history, seen)
            if back:
                kept = history[: history.index(new)] if new in history else history
            told = {TAG_HISTORY: write_history(kept), TAG_ROLLBACK: f"{seen}>{new}" if back else ""}
            means.aws.call(calls.TAG_TEMPLATE, region, what, Resources=[template.id], Tags=as_tags(told))
            named = {"LaunchTemplateId": template.id, "DefaultVersion": str(new)}
            means.aws.call(calls.SET_DEFAULT_VERSION, region, what, **named)
            settled(new)
        run.default = new

    return Action(
        step="default",
        title=f"default of {template.name}: version {template.default} -> {_number(version)}",
        do=do,
        lines=difference(template.default_version.data, version.data) if version else (),
    )


def _number(version: Version | None) -> str:
    return str(version.number) if version else "(the new one)"


def agreed(
    what: str, look: Callable[[], tuple[int, _T]], allowed: tuple[int, ...], hint: str, waiter: Waiter
) -> tuple[int, _T]:
    """A look at a template, as soon as the default that it sees is one of these.

    Args:
        what: The template, in words.
        look: Gives the default, and what else was seen.
        allowed: Versions; the first is what the message names.
        hint: What to do where it is another.
        waiter: How to wait until all of EC2 says the same.

    Raises:
        ConflictError: Somebody else has moved it.
    """
    message = f"the default of {what}"
    found = waiter.settled(message, look, lambda seen: seen[0] in allowed, looks=_LOOKS, every=_PAUSE)
    if found[0] not in allowed:
        message += f" is version {found[0]}, not {allowed[0]}: somebody else has changed it meanwhile"
        raise ConflictError(message, hint)
    return found


def refuse_warned(means: Means, run: PlaceRun) -> None:
    """What EC2 could not validate goes live only after a canary has shown that it launches.

    Raises:
        RefusedError: The default would move to it without one.
    """
    if run.version is None or not run.has("default") or run.has("canary"):
        return
    warning = run.warning or means.ledger.warning(run.place.key, run.version)
    if warning:
        raise RefusedError(
            f"EC2 warns of version {run.version} of {run.place.target.template} in {run.place.region}:"
            f" {warning}; the default is unchanged",
            "correct what it names, or prove the version on an instance: --canary",
        )
