"""The step that makes a launch template, or a new version of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.base.errors import AmigenError, AwsError, ConflictError, plain
from amigen.publish import names, observe
from amigen.publish.diff import difference
from amigen.publish.names import Place, VersionLabel
from amigen.publish.promote import refuse_warned
from amigen.publish.state import Template
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags, content_digest
from amigen.publish.wait import TooLongError

# A version that is not seen after this is gone.
_VERSION_SECONDS = 60.0
_TOKENS = 10


def make_version(place: Place, template: Template | None, data: dict[str, Any], tags: dict[str, str]) -> Action:
    """Make a new version of a launch template, or the template with its first one.

    The name of a template is unique, so that it cannot be made twice; its first version is its default, EC2 knows no
    other way. The client token of a further version is made of the newest one when the plan was made, so that of two
    publishers who saw the same newest version only one can make the next.

    Args:
        template: None where there is none yet.
        data: Of the version.
        tags: Of a new template.
    """
    name = place.target.template

    def do(means: Means, run: PlaceRun) -> None:
        resolved = str(data["ImageId"]).startswith("resolve:")
        sent = data if resolved else {**data, "ImageId": run.ami}
        label = VersionLabel(spec=run.digest, content=content_digest(sent, run.ami), image=run.ami).text()
        version: dict[str, Any] = {"VersionDescription": label, "LaunchTemplateData": sent}
        if template:
            version |= {"LaunchTemplateId": template.id}
            _create(means, run, version, ("version", template.id, template.latest), template.latest)
            refuse_warned(means, run)
        else:
            specifications = [{"ResourceType": "launch-template", "Tags": as_tags(tags)}]
            version |= {"LaunchTemplateName": name, "TagSpecifications": specifications}
            _create(means, run, version, ("template", name, label), 0)
            run.default = 1

    title = f"create launch template {name} (its version 1 is the default)"
    if template:
        title = f"new version of launch template {name} ({template.id}), from version {template.default}"
    lines = difference(template.default_version.data if template else {}, data)
    return Action(step="template", title=title, do=do, lines=lines)


def _create(means: Means, run: PlaceRun, version: dict[str, Any], intent: tuple[object, ...], after: int) -> None:
    """Create, and look that it is there.

    EC2 remembers a token longer than what was made with it: after somebody has deleted that, the same call answers
    with what is gone, and one with other content is refused
    (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html). Such a token is followed by the next
    one, which is the same for everybody who finds it used up.

    Args:
        run: Gets template, version and warning.
        version: The parameters of the call.
        intent: What the token is made of.
        after: The newest version that the plan saw; 0 where there was no template.
    """
    place, name = run.place, run.place.target.template
    call = calls.CREATE_TEMPLATE_VERSION if after else calls.CREATE_TEMPLATE
    for generation in range(_TOKENS):
        token = names.token(*intent, *((generation,) if generation else ()))
        try:
            answer = means.aws.call(call, place.region, f"launch template {name}", **version, ClientToken=token)
        except CallError as error:
            if error.code != "IdempotentParameterMismatch" or _is_seen(means, run, after.__lt__):
                raise _told(error, name) from None
        else:
            template = version.get("LaunchTemplateId") or answer["LaunchTemplate"]["LaunchTemplateId"]
            number = int(answer["LaunchTemplateVersion"]["VersionNumber"]) if after else 1
            if _is_seen(means, run, number.__eq__):
                run.template, run.version, run.warning = template, number, _words(answer.get("Warning"))
                if run.warning:
                    means.waiter.say(f"{place.key}: EC2 warns of version {number}: {run.warning}")
                means.ledger.note(place.key, warning=f"{number}:{run.warning}" if run.warning else "")
                return
        means.waiter.say(f"{place.key}: what was made of {name} with this client token is gone; taking the next one")
    raise AwsError(
        f"launch template {name} in {place.region}: {_TOKENS} client tokens are used up by what is gone",
        "find out who deletes its versions",
    )


def _is_seen(means: Means, run: PlaceRun, wanted: Callable[[int], bool]) -> bool:
    """Whether such a version is there; it may take a moment until it is seen."""
    place, name = run.place, run.place.target.template

    def find() -> bool | None:
        found = observe.find_template(means.aws, place.region, name)
        return (found is not None and any(wanted(version.number) for version in found.versions)) or None

    try:
        return means.waiter.visible(f"{place.key}: {name}", find, at_most=_VERSION_SECONDS)
    except TooLongError:
        return False


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
