"""Move what others launch from: the parameter and the default version, each only from where it was last seen."""

from __future__ import annotations

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.errors import ConflictError
from amigen.publish import observe
from amigen.publish.names import TAG_HISTORY, TAG_ROLLBACK, read_history, write_history


def put_parameter(aws: Aws, region: str, name: str, *, old: str | None, new: str) -> None:
    """Write an AMI id to a parameter.

    Raises:
        ConflictError: Somebody else has changed it since.
    """
    now = observe.find_parameter(aws, region, name)
    if now is not None and now.value == new:
        return
    conflict = ConflictError(
        f"parameter {name} in {region} is {now.value if now else 'gone'},"
        f" it was {old or 'not there'} when the plan was made",
        "somebody else publishes; look at the plan again",
    )
    if (now.value if now else None) != old:
        raise conflict
    try:
        # The data type lets SSM itself check that the image exists (systems-manager, parameter-store-ec2-aliases).
        aws.call(
            calls.PUT_PARAMETER,
            region,
            f"parameter {name}",
            Name=name,
            Value=new,
            Type="String",
            DataType="aws:ec2:image",
            Overwrite=old is not None,
        )
    except CallError as error:
        if error.code == "ParameterAlreadyExists":
            raise conflict from None
        raise


def move_default(aws: Aws, region: str, name: str, template: str, *, old: int, new: int, back: bool = False) -> None:
    """Move `$Default` of a template, and keep in its tags what it was before.

    EC2 has no conditional form of ModifyLaunchTemplate, so the default is looked at right before and right after.

    Args:
        aws: Where to call.
        region: Of the template.
        name: Of the template, for messages.
        template: Its id.
        old: The default when the plan was made.
        new: The version that becomes the default.
        back: A rollback: takes the history back, too, in place of adding to it, and says so.

    Raises:
        ConflictError: Somebody else has moved it.
    """
    what = f"launch template {name}"

    def current() -> tuple[int, dict[str, str]]:
        answer = aws.call(calls.DESCRIBE_TEMPLATES, region, what, LaunchTemplateIds=[template])
        found = answer.first("LaunchTemplates")
        return int(found["DefaultVersionNumber"]), {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}

    def refuse_other(seen: int, allowed: int) -> None:
        if seen != allowed:
            raise ConflictError(
                f"the default of {what} in {region} is version {seen}, not {allowed}:"
                " somebody else has moved it meanwhile",
                f"version {new} is there; look at the plan again",
            )

    def remember(history: tuple[int, ...], rollback: str) -> None:
        tags = [{"Key": TAG_HISTORY, "Value": write_history(history)}, {"Key": TAG_ROLLBACK, "Value": rollback}]
        aws.call(calls.TAG_TEMPLATE, region, what, Resources=[template], Tags=tags)

    seen, tags = current()
    if seen == new:
        return
    refuse_other(seen, old)
    # Written before the move: a cut in between leaves an intent that the next run can see and finish.
    history = read_history(tags, seen)
    if back:
        remember(history[: history.index(new)] if new in history else history, f"{seen}>{new}")
    else:
        remember((*history, seen), "")
    aws.call(calls.SET_DEFAULT_VERSION, region, what, LaunchTemplateId=template, DefaultVersion=str(new))
    refuse_other(current()[0], new)
