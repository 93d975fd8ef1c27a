"""Move what others launch from: the parameter and the default version, each only from where it was last seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.base.errors import AwsError, ConflictError
from amigen.publish import observe
from amigen.publish.actions import PutParameter, SetDefault
from amigen.publish.image_steps import image_of
from amigen.publish.names import TAG_HISTORY, TAG_ROLLBACK, read_history, write_history
from amigen.publish.place_run import Means, PlaceRun
from amigen.publish.template import as_tags
from amigen.publish.template_steps import refuse_warned
from amigen.publish.wait import TooLongError, Waiter

# SSM checks the image within seconds; a parameter that has not changed after this will not.
PARAMETER_SECONDS = 120.0
# So many looks at a default before it is believed to be another than it should be: EC2 is eventually consistent
# (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
_LOOKS = 6
_PAUSE = 2.0


_T = TypeVar("_T")


def put_parameter(means: Means, run: PlaceRun, action: PutParameter) -> None:
    """Write an AMI id to a parameter if it is still what the plan saw, and see that it is there.

    The data type lets SSM itself check the image, after it has said 200: "The aws:ec2:image value is validated
    asynchronously"; where that fails, the parameter is not created or updated. What launches from the parameter must
    not be told before it is. Sources: DataType of
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html,
    https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Raises:
        ConflictError: Somebody else has changed it since.
        AwsError: It does not have the value, although SSM took it.
    """
    refuse_warned(means, run)
    region, name, old, new = run.place.region, action.name, action.old, image_of(run)
    what = f"parameter {name}"

    def look() -> tuple[bool | None, str]:
        seen = observe.find_parameter(means.aws, region, name)
        if seen not in (old, new):
            raise ConflictError(
                f"{what} in {region} is {seen or 'gone'}, it was {old or 'not there'} when the plan was made",
                "another publisher is active; look at the plan again",
            )
        return (True, "") if seen == new else (None, f"is still {old or 'not there'}")

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
                f"{what} in {region} is still {old or 'not there'}: SSM took {new} and did not keep it",
                f"is {new} available to this account in {region}? then run the same command again",
            ) from None
    means.ledger.note(run.place.key, parameter=name)


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
    looks = itertools.count(1)

    def once() -> tuple[tuple[int, _T] | None, str]:
        found = look()
        if found[0] in allowed:
            return found, ""
        if next(looks) >= _LOOKS:
            message = (
                f"the default of {what} is version {found[0]}, not {allowed[0]}: somebody else has changed it meanwhile"
            )
            raise ConflictError(message, hint)
        return None, ""

    return waiter.until(f"the default of {what}", once, every=_PAUSE)


def set_default(means: Means, run: PlaceRun, action: SetDefault) -> None:
    """Move `$Default` of a template if it is still where the plan saw it, and keep in its tags what it was before; a
    rollback takes the history back, too, and says so.

    EC2 has no conditional form of ModifyLaunchTemplate, so the default is looked at right before and right after.

    Raises:
        ConflictError: Somebody else has moved it.
    """
    new = action.version or run.version
    assert new is not None, "the default moves to a version"
    refuse_warned(means, run)
    region, template, what = run.place.region, action.template, f"launch template {action.name}"

    def look() -> tuple[int, dict[str, str]]:
        """The default and the tags."""
        answer = means.aws.call(calls.DESCRIBE_TEMPLATES, region, what, LaunchTemplateIds=[template])
        found = answer.first("LaunchTemplates")
        return int(found["DefaultVersionNumber"]), {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}

    def settled(*allowed: int) -> tuple[int, dict[str, str]]:
        hint = f"version {new} is there; look at the plan again"
        return agreed(f"{what} in {region}", look, allowed, hint, means.waiter)

    seen, tags = settled(action.old, new)
    if seen != new:
        # Written before the move: a cut in between leaves an intent that the next run can see and finish.
        history = read_history(tags, seen)
        kept = (*history, seen)
        if action.back:
            kept = history[: history.index(new)] if new in history else history
        told = {TAG_HISTORY: write_history(kept), TAG_ROLLBACK: f"{seen}>{new}" if action.back else ""}
        means.aws.call(calls.TAG_TEMPLATE, region, what, Resources=[template], Tags=as_tags(told))
        means.aws.call(calls.SET_DEFAULT_VERSION, region, what, LaunchTemplateId=template, DefaultVersion=str(new))
        settled(new)
    run.default = new
