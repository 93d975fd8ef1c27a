"""The steps that bring a version to the nodes: canary, parameter, default, each only from where it was last seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.base.errors import AwsError, ConflictError, RefusedError
from amigen.publish import observe
from amigen.publish.names import TAG_HISTORY, TAG_ROLLBACK, read_history, write_history
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags
from amigen.publish.wait import TooLongError, Waiter

# SSM checks the image within seconds; a parameter that has not changed after this will not.
PARAMETER_SECONDS = 120.0
# So many looks at a default before it is believed to be another than it should be: EC2 is eventually consistent
# (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
_LOOKS = 6
_PAUSE = 2.0
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class RunCanary(Action):
    """Launch one instance of the new version, verify it, terminate it."""

    step = "canary"
    name: str
    template: str | None
    version: int | None
    image: str | None

    @property
    def title(self) -> str:
        return f"launch a canary of {self.name} version {_version(self.version)}, verify it, terminate it"

    def do(self, means: Means, run: PlaceRun) -> None:
        assert means.canary is not None, "a plan with a canary was made without one"
        assert run.template is not None, "a canary comes after its template"
        assert run.version is not None, "a canary comes after its version"
        means.canary(run.place, name=self.name, template=run.template, version=run.version, image=run.ami)


@dataclass(frozen=True, kw_only=True)
class PutParameter(Action):
    """Write the id of the image to its SSM parameter if it is still what the plan saw, and see that it is there.

    The data type lets SSM itself check the image, after it has said 200: "The aws:ec2:image value is validated
    asynchronously"; where that fails, the parameter is not created or updated. What launches from the parameter must
    not be told before it is. Sources: DataType of
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html,
    https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Attributes:
        image: None for the copy that the same plan makes.
        old: What stands there; None where there is no parameter yet.
    """

    step = "parameter"
    name: str
    image: str | None
    old: str | None

    @property
    def title(self) -> str:
        return f"parameter {self.name}: {self.old or '(none)'} -> {self.image or '(the copy)'}"

    def do(self, means: Means, run: PlaceRun) -> None:
        refuse_warned(means, run)
        region, name, old, new = run.place.region, self.name, self.old, run.ami
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


@dataclass(frozen=True, kw_only=True)
class SetDefault(Action):
    """Move `$Default` if it is still where the plan saw it, and keep in the template's tags what it was before.

    A rollback takes the history back, too, and says so. EC2 has no conditional form of ModifyLaunchTemplate, so the
    default is looked at right before and right after.

    Attributes:
        version: None for the version that the same plan makes.
        old: What it is when the plan is made; if it is another when the action comes, somebody else was there.
        back: A rollback.
        lines: The difference, where no new version shows it.
    """

    step = "default"
    name: str
    template: str
    version: int | None
    old: int
    back: bool = False

    @property
    def title(self) -> str:
        return f"default of {self.name}: version {self.old} -> {_version(self.version)}"

    def do(self, means: Means, run: PlaceRun) -> None:
        new = self.version or run.version
        assert new is not None, "the default moves to a version"
        refuse_warned(means, run)
        region, template, what = run.place.region, self.template, f"launch template {self.name}"

        def look() -> tuple[int, dict[str, str]]:
            answer = means.aws.call(calls.DESCRIBE_TEMPLATES, region, what, LaunchTemplateIds=[template])
            found = answer.first("LaunchTemplates")
            return int(found["DefaultVersionNumber"]), {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}

        def settled(*allowed: int) -> tuple[int, dict[str, str]]:
            hint = f"version {new} is there; look at the plan again"
            return agreed(f"{what} in {region}", look, allowed, hint, means.waiter)

        seen, tags = settled(self.old, new)
        if seen != new:
            # Written before the move: a cut in between leaves an intent that the next run can see and finish.
            history = read_history(tags, seen)
            kept = (*history, seen)
            if self.back:
                kept = history[: history.index(new)] if new in history else history
            told = {TAG_HISTORY: write_history(kept), TAG_ROLLBACK: f"{seen}>{new}" if self.back else ""}
            means.aws.call(calls.TAG_TEMPLATE, region, what, Resources=[template], Tags=as_tags(told))
            means.aws.call(calls.SET_DEFAULT_VERSION, region, what, LaunchTemplateId=template, DefaultVersion=str(new))
            settled(new)
        run.default = new


def _version(number: int | None) -> str:
    return "(the new one)" if number is None else str(number)


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


def refuse_warned(means: Means, run: PlaceRun) -> None:
    """What EC2 could not validate goes live only after a canary has shown that it launches.

    Raises:
        RefusedError: The default would move to it without one.
    """
    moves = any(isinstance(each, SetDefault) and not each.back for each in run.actions)
    if not moves or run.version is None or any(isinstance(each, RunCanary) for each in run.actions):
        return
    warning = run.warning or means.ledger.warning(run.place.key, run.version)
    if warning:
        raise RefusedError(
            f"EC2 warns of version {run.version} of {run.place.target.template} in {run.place.region}:"
            f" {warning}; the default is unchanged",
            "correct what it names, or prove the version on an instance: --canary",
        )
