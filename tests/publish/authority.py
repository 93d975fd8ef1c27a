"""What AWS asks of IAM for a call: action, resource and condition keys, as the Service Authorization Reference has
them; and an evaluation of a policy that knows what the printed policies use.

It is written from the reference and not from `amigen.aws.calls`, so that the two can disagree.
https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.publish.stand_in.auto_scaling import specifications
from tests.publish.stand_in.wire import Refusal, Request

ACCOUNT = "123456789012"
_KINDS = {
    "ami": "image",
    "snap": "snapshot",
    "lt": "launch-template",
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
}
_OWNERLESS = {"image", "snapshot"}
Tags = Callable[[str, str], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Need:
    """One permission that a call needs; all of them must be allowed."""

    action: str
    resource: str
    context: dict[str, str | list[str]] = field(default_factory=dict)


def needs(request: Request, tags: Tags) -> Iterator[Need]:
    """What a call needs. `tags` tells the tags of an EC2 resource in a region, before the call."""
    region = {"aws:RequestedRegion": request.region}
    for action, resource, context in _raw(request, tags):
        yield Need(action=action, resource=resource, context={**region, **context})


def _raw(request: Request, tags: Tags) -> Iterator[tuple[str, str, dict[str, str | list[str]]]]:
    name = f"{request.service}:{request.operation}"
    params, region = request.params, request.region

    def ec2(resource: str) -> tuple[str, dict[str, str | list[str]]]:
        return _arn(region, resource), {f"aws:ResourceTag/{k}": v for k, v in tags(region, resource).items()}

    def made(kind: str) -> tuple[str, dict[str, str | list[str]]]:
        owner = "" if kind in _OWNERLESS else ACCOUNT
        return f"arn:aws:ec2:{region}:{owner}:{kind}/*", {}

    given = {
        each["ResourceType"]: {f"aws:RequestTag/{t['Key']}": t["Value"] for t in each["Tags"]}
        for each in params.get("TagSpecifications", [])
    }

    def tagged() -> Iterator[tuple[str, str, dict[str, str | list[str]]]]:
        for kind, request_tags in given.items():
            yield "ec2:CreateTags", made(kind)[0], {**request_tags, "ec2:CreateAction": request.operation}

    def launches(template: str) -> Iterator[tuple[str, str, dict[str, str | list[str]]]]:
        """A service launches for the caller, who must be able to; what is made has the tags that the template gives."""
        arn, context = ec2(template)
        yield "ec2:RunInstances", arn, context
        ours = {key.replace("aws:ResourceTag", "aws:RequestTag"): value for key, value in context.items()}
        for kind in ("instance", "volume"):
            yield "ec2:RunInstances", made(kind)[0], ours
            yield "ec2:CreateTags", made(kind)[0], {**ours, "ec2:CreateAction": "RunInstances"}
        for kind in ("image", "snapshot", "network-interface", "subnet", "security-group"):
            yield "ec2:RunInstances", made(kind)[0], {}

    operation = request.operation
    if request.service == "ec2" and operation.startswith("Describe"):
        attribute = params.get("ImageId") or params.get("SnapshotId")
        yield (name, *ec2(str(attribute))) if operation.endswith("Attribute") else (name, "*", {})
    elif operation == "CopyImage":
        for kind in ("image", "snapshot"):
            yield name, made(kind)[0], {**given.get(kind, {})}
        yield from tagged()
    elif operation == "CreateLaunchTemplate":
        yield name, made("launch-template")[0], {**given.get("launch-template", {})}
        yield from tagged()
    elif operation == "CreateTags":
        asked: dict[str, str | list[str]] = {f"aws:RequestTag/{t['Key']}": t["Value"] for t in params["Tags"]}
        asked["aws:TagKeys"] = [t["Key"] for t in params["Tags"]]
        for resource in params["Resources"]:
            arn, context = ec2(resource)
            yield name, arn, {**context, **asked}
    elif operation == "RunInstances":
        if "LaunchTemplate" in params:
            yield (name, *ec2(params["LaunchTemplate"]["LaunchTemplateId"]))
        for kind in ("instance", "volume"):
            yield name, made(kind)[0], {**given.get(kind, {})}
        for kind in ("image", "snapshot", "network-interface", "subnet", "security-group"):
            yield name, made(kind)[0], {}
        yield from tagged()
        if "IamInstanceProfile" in params:
            role = f"arn:aws:iam::{ACCOUNT}:role/{params['IamInstanceProfile']['Name']}"
            yield "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}
    elif operation in ("CreateKeyPair", "DeleteKeyPair"):
        yield name, f"arn:aws:ec2:{region}:{ACCOUNT}:key-pair/{params['KeyName']}", {}
    elif operation == "CreateSecurityGroup":
        for kind in ("security-group", "vpc"):
            yield name, made(kind)[0], {}
        yield from tagged()
    elif operation == "CreateImage":
        yield (name, *ec2(params["InstanceId"]))
        for kind in ("image", "snapshot"):
            yield name, made(kind)[0], {}
    elif operation == "GetInstanceProfile":
        yield name, f"arn:aws:iam::{ACCOUNT}:instance-profile/{params['InstanceProfileName']}", {}
    elif request.service == "ec2":
        keys = ("ImageId", "SnapshotId", "LaunchTemplateId", "GroupId", "InstanceId")
        resources = params.get("InstanceIds") or [params[key] for key in keys if key in params]
        for resource in resources:
            yield (name, *ec2(resource))
    elif operation in ("GetParameter", "PutParameter", "GetParameters"):
        for parameter in params.get("Names") or [params["Name"]]:
            owner = "" if parameter.startswith("/aws/service/") else ACCOUNT
            yield name, f"arn:aws:ssm:{region}:{owner}:parameter{parameter}", {}
    elif operation == "SendCommand":
        yield name, f"arn:aws:ssm:{region}::document/{params['DocumentName']}", {}
        for instance in params.get("InstanceIds", []):
            context = {f"ssm:resourceTag/{k}": v for k, v in tags(region, instance).items()}
            yield name, _arn(region, instance), {**context}
        for target in params.get("Targets", []):
            key = target["Key"].removeprefix("tag:")
            yield name, f"arn:aws:ec2:{region}:{ACCOUNT}:instance/*", {f"ssm:resourceTag/{key}": target["Values"][0]}
    elif operation in ("StartInstanceRefresh", "CancelInstanceRefresh"):
        group = params["AutoScalingGroupName"]
        yield name, f"arn:aws:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:uuid:autoScalingGroupName/{group}", {}
        for each in specifications(params.get("DesiredConfiguration", {})):
            yield from launches(each["LaunchTemplateId"])
    elif request.service == "eks":
        cluster, group = params.get("clusterName") or params["name"], params["nodegroupName"]
        yield name, f"arn:aws:eks:{region}:{ACCOUNT}:nodegroup/{cluster}/{group}/uuid", {}
        if operation == "UpdateNodegroupVersion":
            yield from launches(params["launchTemplate"]["id"])
        if operation in ("ListUpdates", "DescribeUpdate"):
            yield name, f"arn:aws:eks:{region}:{ACCOUNT}:cluster/{cluster}", {}
    else:
        yield name, "*", {}


def _arn(region: str, resource: str) -> str:
    kind = _KINDS[resource.split("-")[0]]
    owner = "" if kind in _OWNERLESS else ACCOUNT
    return f"arn:aws:ec2:{region}:{owner}:{kind}/{resource}"


class Authority:
    """Allows what a policy allows; refuses the rest, as AWS does. Remembers what of the policy was of use."""

    def __init__(self, document: dict[str, Any], tags: Tags) -> None:
        self.statements = document["Statement"]
        self._tags = tags
        self.used: set[tuple[int, str]] = set()

    def __call__(self, request: Request) -> None:
        for need in needs(request, self._tags):
            if not self.allows(need):
                raise Refusal("UnauthorizedOperation", f"You are not authorized to perform {need}")

    def allows(self, need: Need) -> bool:
        found = [n for n, statement in enumerate(self.statements) if _matches(statement, need)]
        self.used |= {(n, need.action) for n in found}
        return bool(found)

    @property
    def unused(self) -> set[tuple[int, str]]:
        """Statements and their actions that no call has needed."""
        everything = {(n, action) for n, s in enumerate(self.statements) for action in s["Action"]}
        return everything - self.used


def _matches(statement: dict[str, Any], need: Need) -> bool:
    return (
        need.action in statement["Action"]
        and any(fnmatch.fnmatchcase(need.resource, pattern) for pattern in statement["Resource"])
        and all(
            _holds(operator, key, wanted, need.context.get(key))
            for operator, each in statement.get("Condition", {}).items()
            for key, wanted in each.items()
        )
    )


def _holds(operator: str, key: str, wanted: str | list[str], given: str | list[str] | None) -> bool:
    patterns = [wanted] if isinstance(wanted, str) else wanted
    values = given if isinstance(given, list) else [given] if given is not None else []
    if operator == "ForAllValues:StringEquals":
        return all(value in patterns for value in values)
    if operator == "StringEquals":
        return bool(values) and all(value in patterns for value in values)
    if operator == "StringLike":
        return bool(values) and all(any(fnmatch.fnmatchcase(v, p) for p in patterns) for v in values)
    raise AssertionError(f"the evaluation does not know {operator} ({key})")
