"""Move what others launch from: the parameter and the default version, each only from where it was last seen."""

from __future__ import annotations

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.errors import ConflictError
from amigen.publish import observe


def put_parameter(aws: Aws, region: str, name: str, *, old: str | None, new: str) -> None:
    """Write an AMI id to a parameter.

    Raises:
        ConflictError: Somebody else has changed it since.
    """
    now = observe.find_parameter(aws, region, name)
    if now is not None and now.value == new:
        return
    conflict = ConflictError(
        f"parameter {name} in {region} is {now.value if now else 'gone'}, it was {old or 'not there'} when the plan was made",
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


def move_default(aws: Aws, region: str, name: str, template: str, *, old: int, new: int) -> None:
    """Move `$Default` of a template.

    EC2 has no conditional form of ModifyLaunchTemplate, so it is looked at right before and right after.

    Raises:
        ConflictError: Somebody else has moved it.
    """

    def current() -> int:
        what = f"launch template {name}"
        found = next(aws.pages(calls.DESCRIBE_TEMPLATES, region, what, "LaunchTemplates", LaunchTemplateIds=[template]))
        return int(found["DefaultVersionNumber"])

    def refuse_other(seen: int, allowed: int) -> None:
        if seen != allowed:
            raise ConflictError(
                f"the default of launch template {name} in {region} is version {seen}, not {allowed}: "
                "somebody else has moved it meanwhile",
                f"version {new} is there; look at the plan again",
            )

    seen = current()
    if seen == new:
        return
    refuse_other(seen, old)
    aws.call(
        calls.SET_DEFAULT_VERSION,
        region,
        f"launch template {name}",
        LaunchTemplateId=template,
        DefaultVersion=str(new),
    )
    refuse_other(current(), new)
