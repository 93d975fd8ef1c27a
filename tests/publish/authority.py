"""What AWS asks of IAM for a call: action, resource and condition keys, as the Service Authorization Reference has
them; and an evaluation of a policy that knows what the printed policies use.

It is written from the reference and not from `amigen.aws.calls`, so that the two can disagree.
https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    "eni": "network-interface",
    "sir": "spot-instances-request",
}
_LAUNCHED = (
    *("instance", "volume", "network-interface", "spot-instances-request"),
    *("image", "snapshot", "subnet", "security-group", "key-pair"),
)
_OWNERLESS = {"image", "snapshot"}
Context = dict[str, str | list[str]]
# What a caller needs of a customer's key where EC2 copies, or makes volumes, with it:
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html (Permissions for users)
_KEY_ACTIONS = (
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)


class Account(Protocol):
    """What the evaluation must know of the account, before the call.

    Attributes:
        customer_key: Encrypted disks are encrypted with this key (ARN) of the customer; empty: with AWS's own.
    """

    customer_key: str

    def tags(self, region: str, resource: str) -> dict[str, str]:
        """The tags of an EC2 resource."""

    def template_data(self, region: str, template: str, version: str) -> dict[str, Any]:
        """The data of a template version."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One permission that a call needs; all of them must be allowed."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


def needs(request: Request, account: Account) -> Iterator[Need]:
    """What a call needs; to assume the role that has the policy is a matter of another one."""
    if request.service == "sts":
        return
    region = {"aws:RequestedRegion": request.region}
    for action, resource, context in _raw(request, account):
        yield Need(action=action, resource=resource, context={**region, **context})


def _raw(request: Request, account: Account) -> Iterator[tuple[str, str, Context]]:
    name = f"{request.service}:{request.operation}"
    params, region, tags = request.params, request.region, account.tags
    aws = f"arn:{_partition(region)}"

    def ec2(resource: str) -> tuple[str, Context]:
        return _arn(region, resource), {f"aws:ResourceTag/{k}": v for k, v in tags(region, resource).items()}

    def made(kind: str) -> tuple[str, Context]:
        owner = "" if kind in _OWNERLESS else ACCOUNT
        return f"{aws}:ec2:{region}:{owner}:{kind}/*", {}

    given = {
        each["ResourceType"]: {f"aws:RequestTag/{t['Key']}": t["Value"] for t in each["Tags"]}
        for each in params.get("TagSpecifications", [])
    }

    def tagged() -> Iterator[tuple[str, str, Context]]:
        for kind, request_tags in given.items():
            yield "ec2:CreateTags", made(kind)[0], {**request_tags, "ec2:CreateAction": request.operation}

    def encrypts(key: str) -> Iterator[tuple[str, str, Context]]:
        """EC2 uses the key for the caller."""
        for action in _KEY_ACTIONS:
            granted = {"kms:GrantIsForAWSResource": "true"} if action == "CreateGrant" else {}
            yield f"kms:{action}", key, {"kms:ViaService": f"ec2.{region}.amazonaws.com", **granted}

    def resolves(image: str) -> Iterator[tuple[str, str, Context]]:
        """Of a template that names a parameter, the caller must be able to read it.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html
        """
        if image.startswith("resolve:ssm:"):
            parameter = image.removeprefix("resolve:ssm:")
            yield "ssm:GetParameters", f"{aws}:ssm:{region}:{ACCOUNT}:parameter{parameter}", {}

    def names(template: dict[str, Any]) -> Iterator[tuple[str, str, Context]]:
        """What a template says besides: an image by a parameter, encrypted disks, a role."""
        data = account.template_data(region, template["LaunchTemplateId"], str(template["Version"]))
        yield from resolves(data.get("ImageId", ""))
        disks = [disk.get("Ebs", {}) for disk in data.get("BlockDeviceMappings", ())]
        if account.customer_key and any(disk.get("Encrypted") for disk in disks):
            yield from encrypts(account.customer_key)
        yield from passes(data.get("IamInstanceProfile", {}))

    def passes(profile: dict[str, str]) -> Iterator[tuple[str, str, Context]]:
        # Packer writes an empty name where there is none.
        if profile.get("Name"):
            role = f"{aws}:iam::{ACCOUNT}:role/{profile['Name']}"
            yield "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}

    def uses(profile: dict[str, str]) -> Context:
        named = profile.get("Name")
        return {"ec2:InstanceProfile": f"{aws}:iam::{ACCOUNT}:instance-profile/{named}"} if named else {}

    def launches(template: dict[str, Any]) -> Iterator[tuple[str, str, Context]]:
        """A service launches for the caller, who must be able to; what is made has the tags that the template gives."""
        yield from names(template)
        arn, context = ec2(template["LaunchTemplateId"])
        yield "ec2:RunInstances", arn, context
        ours = {key.replace("aws:ResourceTag", "aws:RequestTag"): value for key, value in context.items()}
        for kind in ("instance", "volume"):
            yield "ec2:RunInstances", made(kind)[0], ours
        for kind in ("instance", "volume", "network-interface"):
            yield "ec2:CreateTags", made(kind)[0], {**ours, "ec2:CreateAction": "RunInstances"}
        for kind in ("image", "snapshot", "network-interface", "subnet", "security-group"):
            yield "ec2:RunInstances", made(kind)[0], {}

    def template(params: dict[str, Any]) -> tuple[str, Context]:
        """A launch template by its id or name."""
        named = params.get("LaunchTemplateId") or f"launch-template/{params['LaunchTemplateName']}"
        return made("launch-template")[0], {f"aws:ResourceTag/{k}": v for k, v in tags(region, named).items()}

    def fleet_launches(chosen: dict[str, Any]) -> Iterator[tuple[str, str, Context]]:
        """What a fleet launches: by the reference under CreateFleet, and each instance as by RunInstances."""
        arn, own = template(chosen)
        data = account.template_data(region, chosen["LaunchTemplateName"], str(chosen["Version"]))
        own_tags = {
            each["ResourceType"]: {f"aws:RequestTag/{t['Key']}": t["Value"] for t in each["Tags"]}
            for each in data.get("TagSpecifications", ())
        }
        profile = data.get("IamInstanceProfile", {})
        used = uses(profile)
        for by in ("ec2:CreateFleet", "ec2:RunInstances"):
            yield by, arn, own
            for kind in _LAUNCHED:
                more = used if (kind, by) == ("instance", "ec2:RunInstances") else {}
                yield by, made(kind)[0], {**own_tags.get(kind, {}), **more}
            for kind, request_tags in own_tags.items():
                yield "ec2:CreateTags", made(kind)[0], {**request_tags, "ec2:CreateAction": by.removeprefix("ec2:")}
        yield from passes(profile)

    operation = request.operation
    if request.service == "ec2" and operation.startswith("Describe"):
        attribute = params.get("ImageId") or params.get("SnapshotId")
        yield (name, *ec2(str(attribute))) if operation.endswith("Attribute") else (name, "*", {})
    elif operation == "CopyImage":
        for kind in ("image", "snapshot"):
            yield name, made(kind)[0], {**given.get(kind, {})}
        yield from tagged()
        if "KmsKeyId" in params and account.customer_key:
            yield from encrypts(account.customer_key)
    elif operation == "CreateLaunchTemplate":
        yield name, made("launch-template")[0], {**given.get("launch-template", {})}
        yield from tagged()
        yield from resolves(params["LaunchTemplateData"].get("ImageId", ""))
    elif operation == "CreateLaunchTemplateVersion":
        yield (name, *ec2(params["LaunchTemplateId"]))
        yield from resolves(params["LaunchTemplateData"].get("ImageId", ""))
    elif operation == "DeleteLaunchTemplate":
        yield (name, *template(params))
    elif operation == "CreateFleet":
        yield name, made("fleet")[0], {**given.get("fleet", {})}
        yield from tagged()
        for each in params["LaunchTemplateConfigs"]:
            yield from fleet_launches(each["LaunchTemplateSpecification"])
    elif operation == "CreateTags":
        asked: dict[str, str | list[str]] = {f"aws:RequestTag/{t['Key']}": t["Value"] for t in params["Tags"]}
        asked["aws:TagKeys"] = [t["Key"] for t in params["Tags"]]
        for resource in params["Resources"]:
            arn, context = ec2(resource)
            yield name, arn, {**context, **asked}
    elif operation == "RunInstances":
        if "LaunchTemplate" in params:
            yield (name, *ec2(params["LaunchTemplate"]["LaunchTemplateId"]))
            yield from names(params["LaunchTemplate"])
        used = uses(params.get("IamInstanceProfile", {}))
        of_type = {"ec2:InstanceType": params["InstanceType"]} if "InstanceType" in params else {}
        yield name, made("instance")[0], {**given.get("instance", {}), **used, **of_type}
        yield name, made("volume")[0], {**given.get("volume", {})}
        for kind in ("image", "snapshot", "network-interface", "subnet", "security-group"):
            yield name, made(kind)[0], {}
        yield from tagged()
        yield from passes(params.get("IamInstanceProfile", {}))
    elif operation in ("CreateKeyPair", "DeleteKeyPair"):
        pair = f"key-pair/{params['KeyName']}"
        own = {f"aws:ResourceTag/{k}": v for k, v in tags(region, pair).items()} if "Delete" in operation else {}
        yield name, f"{aws}:ec2:{region}:{ACCOUNT}:{pair}", {**own, **given.get("key-pair", {})}
        for request_tags in given.values():
            yield (
                "ec2:CreateTags",
                f"{aws}:ec2:{region}:{ACCOUNT}:{pair}",
                {**request_tags, "ec2:CreateAction": operation},
            )
    elif operation == "CreateSecurityGroup":
        for kind in ("security-group", "vpc"):
            yield name, made(kind)[0], {**given.get(kind, {})}
        yield from tagged()
    elif operation == "CreateImage":
        yield (name, *ec2(params["InstanceId"]))
        for kind in ("image", "snapshot"):
            yield name, made(kind)[0], {**given.get(kind, {})}
        yield from tagged()
    elif operation == "CreateImageUsageReport":
        yield (name, *ec2(params["ImageId"]))
        yield name, made("image-usage-report")[0], {}
    elif request.service == "iam":
        yield from _iam(name, f"{aws}:iam::{ACCOUNT}", params, lambda resource: tags(region, resource))
    elif request.service == "ec2":
        keys = ("ImageId", "SnapshotId", "LaunchTemplateId", "GroupId", "InstanceId", "VolumeId")
        resources = params.get("InstanceIds") or [params[key] for key in keys if key in params]
        for resource in resources:
            yield (name, *ec2(resource))
    elif operation in ("GetParameter", "PutParameter", "GetParameters"):
        for parameter in params.get("Names") or [params["Name"]]:
            owner = "" if parameter.startswith("/aws/service/") else ACCOUNT
            yield name, f"{aws}:ssm:{region}:{owner}:parameter{parameter}", {}
    elif operation == "StartSession":
        # Without a document, the default one opens a shell; it is looked at only for a policy that asks for it.
        checked = "true" if "DocumentName" in params else "false"
        own = {f"ssm:resourceTag/{k}": v for k, v in tags(region, params["Target"]).items()}
        yield name, _arn(region, params["Target"]), {**own, "ssm:SessionDocumentAccessCheck": checked}
        if "DocumentName" in params:
            yield name, f"{aws}:ssm:{region}::document/{params['DocumentName']}", {}
    elif operation == "TerminateSession":
        yield name, f"{aws}:ssm:{region}:{ACCOUNT}:session/{params['SessionId']}", {}
    elif operation == "SendCommand":
        yield name, f"{aws}:ssm:{region}::document/{params['DocumentName']}", {}
        for instance in params.get("InstanceIds", []):
            context = {f"ssm:resourceTag/{k}": v for k, v in tags(region, instance).items()}
            yield name, _arn(region, instance), {**context}
        for target in params.get("Targets", []):
            key = target["Key"].removeprefix("tag:")
            yield name, f"{aws}:ec2:{region}:{ACCOUNT}:instance/*", {f"ssm:resourceTag/{key}": target["Values"][0]}
    elif operation in ("StartInstanceRefresh", "CancelInstanceRefresh"):
        group = params["AutoScalingGroupName"]
        yield name, f"{aws}:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:uuid:autoScalingGroupName/{group}", {}
        for each in specifications(params.get("DesiredConfiguration", {})):
            yield from launches(each)
    elif request.service == "eks":
        cluster = params.get("clusterName") or params.get("name")
        if operation == "DescribeAddonConfiguration":
            yield name, "*", {}
        elif "addonName" in params:
            yield name, f"{aws}:eks:{region}:{ACCOUNT}:addon/{cluster}/{params['addonName']}/uuid", {}
        else:
            yield name, f"{aws}:eks:{region}:{ACCOUNT}:nodegroup/{cluster}/{params['nodegroupName']}/uuid", {}
        if operation == "UpdateNodegroupVersion":
            chosen = params["launchTemplate"]
            yield from launches({"LaunchTemplateId": chosen["id"], "Version": chosen["version"]})
        if operation in ("ListUpdates", "DescribeUpdate"):
            yield name, f"{aws}:eks:{region}:{ACCOUNT}:cluster/{cluster}", {}
    else:
        yield name, "*", {}


def _iam(
    name: str, account: str, params: dict[str, Any], tags: Callable[[str], dict[str, str]]
) -> Iterator[tuple[str, str, Context]]:
    """On a profile or role by its name, with the tags that it has or is given.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    """
    operation = name.removeprefix("iam:")
    of_profile = "InstanceProfile" in operation
    kind, key = ("instance-profile", "InstanceProfileName") if of_profile else ("role", "RoleName")
    resource = f"{kind}/{params[key]}"
    arn = f"{account}:{resource}"
    if operation.startswith("Create"):
        request_tags: Context = {f"aws:RequestTag/{t['Key']}": t["Value"] for t in params.get("Tags", ())}
        yield name, arn, request_tags
        yield f"iam:{'TagInstanceProfile' if of_profile else 'TagRole'}", arn, request_tags
        return
    yield name, arn, {f"aws:ResourceTag/{k}": v for k, v in tags(resource).items()}
    if operation == "AddRoleToInstanceProfile":
        yield "iam:PassRole", f"{account}:role/{params['RoleName']}", {"iam:PassedToService": "ec2.amazonaws.com"}


def _partition(region: str) -> str:
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def _arn(region: str, resource: str) -> str:
    kind = _KINDS[resource.split("-")[0]]
    owner = "" if kind in _OWNERLESS else ACCOUNT
    return f"arn:{_partition(region)}:ec2:{region}:{owner}:{kind}/{resource}"


class Authority:
    """Allows what a policy allows; refuses the rest, as AWS does. Remembers what of the policy was of use."""

    def __init__(self, document: dict[str, Any], account: Account) -> None:
        self.statements = document["Statement"]
        self._account = account
        self.used: set[tuple[int, str]] = set()

    def __call__(self, request: Request) -> None:
        for need in needs(request, self._account):
            if not self.allows(need):
                raise Refusal("UnauthorizedOperation", f"You are not authorized to perform {need}")

    def allows(self, need: Need) -> bool:
        found = [n for n, statement in enumerate(self.statements) if _matches(statement, need)]
        self.used |= {(n, pattern) for n in found for pattern in _patterns(self.statements[n], need)}
        return bool(found)

    @property
    def unused(self) -> set[tuple[int, str]]:
        """Statements and their actions that no call has needed."""
        everything = {(n, action) for n, s in enumerate(self.statements) for action in s["Action"]}
        return everything - self.used


def _patterns(statement: dict[str, Any], need: Need) -> list[str]:
    """The statement's words for an action; only those of KMS have a wildcard."""
    return [pattern for pattern in statement["Action"] if fnmatch.fnmatchcase(need.action, pattern)]


def _matches(statement: dict[str, Any], need: Need) -> bool:
    return (
        bool(_patterns(statement, need))
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
    if operator == "Null":
        return (not values) == (wanted == "true")
    if operator == "ForAllValues:StringEquals":
        return all(value in patterns for value in values)
    if operator in ("StringEquals", "Bool"):
        return bool(values) and all(value in patterns for value in values)
    if operator == "BoolIfExists":
        return all(value in patterns for value in values)
    if operator in ("StringLike", "ArnLike"):
        return bool(values) and all(any(fnmatch.fnmatchcase(v, p) for p in patterns) for v in values)
    raise AssertionError(f"the evaluation does not know {operator} ({key})")
