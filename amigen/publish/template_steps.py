"""The steps of a plan that are about the launch template and its canary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.base.errors import AmigenError, AwsError, ConflictError, RefusedError, plain
from amigen.publish import names, observe
from amigen.publish.actions import CreateTemplate, CreateVersion, RunCanary, SetDefault
from amigen.publish.image_steps import image_of
from amigen.publish.names import VersionLabel
from amigen.publish.place_run import Means, PlaceRun
from amigen.publish.template import as_tags, content_digest
from amigen.publish.wait import TooLongError

# A version that is not seen after this is gone.
_VERSION_SECONDS = 60.0
_TOKENS = 10


def create_template(means: Means, run: PlaceRun, action: CreateTemplate) -> None:
    """One call makes the template and its first version; its name is unique, so that it cannot be made twice."""
    tags = [{"ResourceType": "launch-template", "Tags": as_tags(action.tags)}]
    named = {"LaunchTemplateName": action.name, "TagSpecifications": tags}
    intent = ("template", action.name, _content(run, action)[1])
    _create(means, run, action, calls.CREATE_TEMPLATE, named, intent, 0)
    run.default = 1


def create_version(means: Means, run: PlaceRun, action: CreateVersion) -> None:
    """The token names the newest version that the plan saw: it can be used for one next version only."""
    named = {"LaunchTemplateId": action.template}
    intent = ("version", action.template, action.after)
    _create(means, run, action, calls.CREATE_TEMPLATE_VERSION, named, intent, action.after)
    refuse_warned(means, run)


def _content(run: PlaceRun, action: CreateTemplate | CreateVersion) -> tuple[dict[str, object], str]:
    """Data and label of the version."""
    image = image_of(run)
    resolved = str(action.data["ImageId"]).startswith("resolve:")
    data = action.data if resolved else {**action.data, "ImageId": image}
    return data, VersionLabel(spec=action.digest, content=content_digest(data, image), image=image).text()


def _create(
    means: Means,
    run: PlaceRun,
    action: CreateTemplate | CreateVersion,
    call: Call,
    named: dict[str, Any],
    intent: tuple[object, ...],
    after: int,
) -> None:
    """Create, and look that it is there.

    EC2 remembers a token longer than what was made with it: after somebody has deleted that, the same call answers
    with what is gone, and one with other content is refused
    (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html). Such a token is followed by the next
    one, which is the same for everybody who finds it used up.

    Args:
        run: Gets template, version and warning.
        named: The parameters of the call besides the version's own.
        intent: What the token is made of.
        after: The newest version that the plan saw; 0 where there was no template.
    """
    place, name = run.place, action.name
    data, label = _content(run, action)
    for generation in range(_TOKENS):
        token = names.token(*intent, *((generation,) if generation else ()))
        try:
            answer = means.aws.call(
                call,
                place.region,
                f"launch template {name}",
                **named,
                VersionDescription=label,
                LaunchTemplateData=data,
                ClientToken=token,
            )
        except CallError as error:
            if error.code != "IdempotentParameterMismatch" or _seen(means, run, name, after.__lt__):
                raise _told(error, name) from None
        else:
            if isinstance(action, CreateVersion):
                template, version = action.template, int(answer["LaunchTemplateVersion"]["VersionNumber"])
            else:
                template, version = answer["LaunchTemplate"]["LaunchTemplateId"], 1
            if _seen(means, run, name, version.__eq__):
                run.template, run.version = template, version
                run.warning = _words(answer.get("Warning"))
                if run.warning:
                    means.waiter.say(f"{place.key}: EC2 warns of version {version}: {run.warning}")
                means.ledger.note(place.key, warning=f"{version}:{run.warning}" if run.warning else "")
                return
        means.waiter.say(f"{place.key}: what was made of {name} with this client token is gone; taking the next one")
    raise AwsError(
        f"launch template {name} in {place.region}: {_TOKENS} client tokens are used up by what is gone",
        "find out who deletes its versions",
    )


def _seen(means: Means, run: PlaceRun, name: str, wanted: Callable[[int], bool]) -> bool:
    """Whether such a version is there; it may take a moment until it is seen."""
    place = run.place

    def look() -> tuple[bool | None, str]:
        found = observe.find_template(means.aws, place.region, name)
        there = found is not None and any(wanted(version.number) for version in found.versions)
        return (True if there else None), "" if there else "not visible yet"

    try:
        return means.waiter.until(f"{place.key}: {name}", look, every=2, at_most=_VERSION_SECONDS)
    except TooLongError:
        return False


def refuse_warned(means: Means, run: PlaceRun) -> None:
    """What EC2 could not validate goes live only after a canary has shown that it launches.

    Raises:
        RefusedError: The default would move to it without one.
    """
    actions = run.plan.actions
    moves = any(isinstance(each, SetDefault) and not each.back for each in actions)
    if not moves or run.version is None or any(isinstance(each, RunCanary) for each in actions):
        return
    warning = run.warning or means.ledger.warning(run.place.key, run.version)
    if warning:
        raise RefusedError(
            f"EC2 warns of version {run.version} of {run.place.target.template} in {run.place.region}:"
            f" {warning}; the default is unchanged",
            "correct what it names, or prove the version on an instance: --canary",
        )


def run_canary(means: Means, run: PlaceRun, action: RunCanary) -> None:
    """Prove the version."""
    assert means.canary is not None, "a plan with a canary was made without one"
    assert run.template is not None, "a canary comes after its template"
    assert run.version is not None, "a canary comes after its version"
    means.canary(run.place, name=action.name, template=run.template, version=run.version, image=image_of(run))


def _told(error: CallError, name: str) -> AmigenError:
    """The loser of two publishers is told so."""
    if error.code in ("IdempotentParameterMismatch", "InvalidLaunchTemplateName.AlreadyExistsException"):
        return ConflictError(
            f"another publisher has just made the next version of launch template {name} ({error.code})",
            "look at what is there (`amigen images drift SPEC`), then run again: it starts from their version",
        )
    return error


def _words(warning: Any) -> str:
    """ValidationWarning of EC2: what it could not validate, for a person."""
    found = [f"{each.get('Code', '')}: {each.get('Message', '')}" for each in (warning or {}).get("Errors", ())]
    return plain("; ".join(found))
