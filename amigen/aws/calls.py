"""Every AWS call that amigen makes, with the permission it needs: the code calls by this table, and
`amigen iam-policy` prints it. A call that is not here cannot be made; a permission that no call needs is not printed.

Actions, resource types and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/
(list_amazonec2, list_awssystemsmanager, list_amazonec2autoscaling, list_amazonelastickubernetesservice).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Purpose = Literal["build", "publish", "canary", "rollout", "rollback", "images", "prune", "fleet"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
Need = Literal["always", "kms-key", "instance-profile", "source-parameter", "network", "deprecation", "session-manager"]

# Placeholders of the resources and conditions below; `amigen.publish.policy` fills them in.
#   {p} partition, {a} account, {name} name of the spec, {group} Auto Scaling group, {cluster} and {nodegroup} of EKS,
#   {tag} and {value} of the fleet's tag, {source} a parameter of the user's own that names a base image.
Condition = Mapping[str, Mapping[str, str | tuple[str, ...]]]

_IMAGE = "arn:{p}:ec2:*::image/*"
_SNAPSHOT = "arn:{p}:ec2:*::snapshot/*"
_TEMPLATE = "arn:{p}:ec2:*:{a}:launch-template/*"
_INSTANCE = "arn:{p}:ec2:*:{a}:instance/*"
_VOLUME = "arn:{p}:ec2:*:{a}:volume/*"
_PARAMETER = "arn:{p}:ssm:*:{a}:parameter/amigen/{name}/*"
_GROUP = "arn:{p}:autoscaling:*:{a}:autoScalingGroup:*:autoScalingGroupName/{group}"
_NODEGROUP = "arn:{p}:eks:*:{a}:nodegroup/{cluster}/{nodegroup}/*"
_CLUSTER = "arn:{p}:eks:*:{a}:cluster/{cluster}"

OURS: Condition = {"StringEquals": {"aws:ResourceTag/amigen/name": "{name}"}}
# Nodes carry the name, too; a builder and what is made of it also say which build it was.
BUILDER: Condition = {**OURS, "StringLike": {"aws:ResourceTag/amigen/build": "*"}}
_MADE_OURS: Condition = {"StringEquals": {"aws:RequestTag/amigen/name": "{name}"}}
_CANARY: Condition = {"StringLike": {"aws:ResourceTag/amigen/canary": "{name}-*"}}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A permission: an IAM action on resources, under conditions.

    Attributes:
        when: Part of the spec without which the permission is not needed: a customer's KMS key, an instance profile,
            a source parameter of the user's own, a subnet or VPC of the builder, deprecation, Session Manager.
    """

    action: str
    resources: tuple[str, ...] = ("*",)
    condition: Condition = field(default_factory=dict)
    when: Need = "always"


@dataclass(frozen=True, kw_only=True)
class Call:
    """An operation of a service, what it is used for, and what it needs.

    Attributes:
        service: boto3's name.
        operation: As in botocore's service model.
        grants: The permissions; the first is the call's own, the others are those that AWS checks besides it.
        tokens: Parameter and field of paging.
    """

    service: str
    operation: str
    purposes: tuple[Purpose, ...]
    grants: tuple[Grant, ...]
    tokens: tuple[str, str] = ("NextToken", "NextToken")

    def words(self, region: str, what: str) -> str:
        """The call and its resource, for messages."""
        return f"{self.service}:{self.operation} in {region} for {what}"


def _kms(*actions: str) -> tuple[Grant, ...]:
    """What EC2 does with the customer's key on the caller's behalf.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html
    """
    through_ec2: Condition = {"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com*"}}
    key = "arn:{p}:kms:*:{a}:key/*"
    grants = tuple(
        Grant(action=f"kms:{action}", resources=(key,), condition=through_ec2, when="kms-key") for action in actions
    )
    for_service: Condition = {**through_ec2, "Bool": {"kms:GrantIsForAWSResource": "true"}}
    return (*grants, Grant(action="kms:CreateGrant", resources=(key,), condition=for_service, when="kms-key"))


def created_tags(action: str, *resources: str) -> Grant:
    """Tags that are given while a thing is made.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html
    """
    condition: Condition = {"StringEquals": {"ec2:CreateAction": action, **_MADE_OURS["StringEquals"]}}
    return Grant(action="ec2:CreateTags", resources=resources, condition=condition)


def _read(service: str, operation: str, *purposes: Purpose, prefix: str = "", tokens: str = "NextToken") -> Call:
    """A call that only reads and takes no resource in a policy."""
    grant = Grant(action=f"{prefix or service}:{operation}")
    return Call(service=service, operation=operation, purposes=purposes, grants=(grant,), tokens=(tokens, tokens))


def _pass_role() -> Grant:
    """The role of the instance profile is passed to EC2.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    condition = {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}}
    return Grant(
        action="iam:PassRole", resources=("arn:{p}:iam::{a}:role/*",), condition=condition, when="instance-profile"
    )


def launch_grants() -> tuple[Grant, ...]:
    """RunInstances: what is made carries our tags, what is used is read.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html (RunInstances)
    """
    kinds = ("network-interface", "subnet", "security-group", "key-pair")
    used = tuple(f"arn:{{p}}:ec2:*:{{a}}:{kind}/*" for kind in kinds)
    return (
        Grant(action="ec2:RunInstances", resources=(_INSTANCE, _VOLUME), condition=_MADE_OURS),
        Grant(action="ec2:RunInstances", resources=(_IMAGE, _SNAPSHOT, *used)),
        created_tags("RunInstances", _INSTANCE, _VOLUME),
        _pass_role(),
    )


def _launch() -> tuple[Grant, ...]:
    """RunInstances of one of our templates."""
    return (Grant(action="ec2:RunInstances", resources=(_TEMPLATE,), condition=OURS), *launch_grants())


def _ec2(
    operation: str, *purposes: Purpose, on: tuple[str, ...], condition: Condition = OURS, also: tuple[Grant, ...] = ()
) -> Call:
    own = Grant(action=f"ec2:{operation}", resources=on, condition=condition)
    return Call(service="ec2", operation=operation, purposes=purposes, grants=(own, *also))


# -- EC2: images -----------------------------------------------------------------------------------------------------
DESCRIBE_IMAGES = _read("ec2", "DescribeImages", "build", "publish", "canary", "rollback", "images", "prune")
DESCRIBE_SNAPSHOTS = _read("ec2", "DescribeSnapshots", "prune")
DESCRIBE_INSTANCES = _read("ec2", "DescribeInstances", "canary", "images", "prune", "fleet")
DESCRIBE_TEMPLATES = _read("ec2", "DescribeLaunchTemplates", "publish", "canary", "rollback", "images", "prune")
DESCRIBE_TEMPLATE_VERSIONS = _read(
    "ec2", "DescribeLaunchTemplateVersions", "publish", "canary", "rollback", "images", "prune"
)
DESCRIBE_IMAGE_ATTRIBUTE = _ec2("DescribeImageAttribute", "build", "publish", on=(_IMAGE,))
DESCRIBE_SNAPSHOT_ATTRIBUTE = _ec2("DescribeSnapshotAttribute", "build", "publish", on=(_SNAPSHOT,))
COPY_IMAGE = _ec2(
    "CopyImage",
    "build",
    "publish",
    on=(_IMAGE, _SNAPSHOT),
    condition={},
    also=(
        created_tags("CopyImage", _IMAGE, _SNAPSHOT),
        *_kms("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKey*"),
    ),
)
TAG_IMAGE = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("build", "publish"),
    grants=(Grant(action="ec2:CreateTags", resources=(_IMAGE, _SNAPSHOT), condition=_MADE_OURS),),
)
SHARE_IMAGE = _ec2("ModifyImageAttribute", "build", "publish", on=(_IMAGE,))
SHARE_SNAPSHOT = _ec2("ModifySnapshotAttribute", "build", "publish", on=(_SNAPSHOT,))
DEPRECATE_IMAGE = _ec2("EnableImageDeprecation", "build", "publish", on=(_IMAGE,))
REMOVE_FAILED_COPY = _ec2("DeregisterImage", "build", "publish", on=(_IMAGE,))
DEREGISTER_IMAGE = _ec2("DeregisterImage", "prune", on=(_IMAGE,))
MARK_SNAPSHOT = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("prune",),
    grants=(
        Grant(
            action="ec2:CreateTags",
            resources=(_SNAPSHOT,),
            condition={**OURS, "ForAllValues:StringEquals": {"aws:TagKeys": "amigen/pruned-image"}},
        ),
    ),
)
DELETE_SNAPSHOT = _ec2("DeleteSnapshot", "prune", on=(_SNAPSHOT,))

# -- EC2: launch templates -------------------------------------------------------------------------------------------
CREATE_TEMPLATE = _ec2(
    "CreateLaunchTemplate",
    "publish",
    on=(_TEMPLATE,),
    condition=_MADE_OURS,
    also=(created_tags("CreateLaunchTemplate", _TEMPLATE),),
)
CREATE_TEMPLATE_VERSION = _ec2("CreateLaunchTemplateVersion", "publish", on=(_TEMPLATE,))
SET_DEFAULT_VERSION = _ec2("ModifyLaunchTemplate", "publish", "canary", "rollback", on=(_TEMPLATE,))
TAG_TEMPLATE = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("publish", "canary", "rollback"),
    grants=(
        Grant(
            action="ec2:CreateTags",
            resources=(_TEMPLATE,),
            condition={
                **OURS,
                "ForAllValues:StringEquals": {"aws:TagKeys": ("amigen/default-history", "amigen/rollback")},
            },
        ),
    ),
)

# -- EC2: the canary -------------------------------------------------------------------------------------------------
RUN_CANARY = Call(service="ec2", operation="RunInstances", purposes=("canary",), grants=_launch())
TERMINATE_CANARY = _ec2("TerminateInstances", "canary", on=(_INSTANCE,), condition=_CANARY)

# -- Systems Manager -------------------------------------------------------------------------------------------------
GET_PUBLIC_PARAMETER = Call(
    service="ssm",
    operation="GetParameter",
    purposes=("build", "images"),
    grants=(Grant(action="ssm:GetParameter", resources=("arn:{p}:ssm:*::parameter/aws/service/*",)),),
)
GET_SOURCE_PARAMETER = Call(
    service="ssm",
    operation="GetParameter",
    purposes=("build", "images"),
    grants=(
        Grant(action="ssm:GetParameter", resources=("arn:{p}:ssm:*:{a}:parameter{source}",), when="source-parameter"),
    ),
)
GET_PARAMETER = Call(
    service="ssm",
    operation="GetParameter",
    purposes=("publish", "rollback", "images"),
    grants=(Grant(action="ssm:GetParameter", resources=(_PARAMETER,)),),
)
GET_NAMED_PARAMETERS = Call(
    service="ssm",
    operation="GetParameters",
    purposes=("images", "prune"),
    # Any template of the account may name its image by a parameter, and prune must know which image that is.
    grants=(Grant(action="ssm:GetParameters", resources=("arn:{p}:ssm:*:*:parameter/*",)),),
)
PUT_PARAMETER = Call(
    service="ssm",
    operation="PutParameter",
    purposes=("publish", "rollback"),
    grants=(Grant(action="ssm:PutParameter", resources=(_PARAMETER,)),),
)
DESCRIBE_MANAGED_INSTANCES = _read("ssm", "DescribeInstanceInformation", "canary")
LIST_COMMANDS = _read("ssm", "ListCommands", "canary", "fleet")
LIST_COMMAND_INVOCATIONS = _read("ssm", "ListCommandInvocations", "canary", "fleet")
GET_COMMAND_INVOCATION = _read("ssm", "GetCommandInvocation", "canary", "fleet")
CANCEL_COMMAND = _read("ssm", "CancelCommand", "canary", "fleet")
_SHELL = "arn:{p}:ssm:*::document/AWS-RunShellScript"
SEND_COMMAND = Call(
    service="ssm",
    operation="SendCommand",
    purposes=("fleet",),
    grants=(
        Grant(action="ssm:SendCommand", resources=(_SHELL,)),
        Grant(
            action="ssm:SendCommand",
            resources=(_INSTANCE,),
            condition={"StringEquals": {"ssm:resourceTag/{tag}": "{value}"}},
        ),
    ),
)
SEND_CANARY_COMMAND = Call(
    service="ssm",
    operation="SendCommand",
    purposes=("canary",),
    grants=(
        Grant(action="ssm:SendCommand", resources=(_SHELL,)),
        Grant(
            action="ssm:SendCommand",
            resources=(_INSTANCE,),
            condition={"StringLike": {"ssm:resourceTag/amigen/canary": "{name}-*"}},
        ),
    ),
)

# -- Auto Scaling ----------------------------------------------------------------------------------------------------
DESCRIBE_GROUPS = _read("autoscaling", "DescribeAutoScalingGroups", "rollout", "images", "prune")
DESCRIBE_LAUNCH_CONFIGURATIONS = _read("autoscaling", "DescribeLaunchConfigurations", "images", "prune")
DESCRIBE_REFRESHES = _read("autoscaling", "DescribeInstanceRefreshes", "rollout")
START_REFRESH = Call(
    service="autoscaling",
    operation="StartInstanceRefresh",
    purposes=("rollout",),
    # Auto Scaling checks that the caller could launch the template that it is to use
    # (https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html).
    grants=(Grant(action="autoscaling:StartInstanceRefresh", resources=(_GROUP,)), *_launch()),
)
CANCEL_REFRESH = Call(
    service="autoscaling",
    operation="CancelInstanceRefresh",
    purposes=("rollout",),
    grants=(Grant(action="autoscaling:CancelInstanceRefresh", resources=(_GROUP,)),),
)

# -- EKS -------------------------------------------------------------------------------------------------------------
DESCRIBE_NODEGROUP = Call(
    service="eks",
    operation="DescribeNodegroup",
    purposes=("rollout",),
    grants=(Grant(action="eks:DescribeNodegroup", resources=(_NODEGROUP,)),),
)
UPDATE_NODEGROUP = Call(
    service="eks",
    operation="UpdateNodegroupVersion",
    purposes=("rollout",),
    grants=(Grant(action="eks:UpdateNodegroupVersion", resources=(_NODEGROUP,)), *_launch()),
)
LIST_UPDATES = Call(
    service="eks",
    operation="ListUpdates",
    purposes=("rollout",),
    grants=(Grant(action="eks:ListUpdates", resources=(_CLUSTER, _NODEGROUP)),),
    tokens=("nextToken", "nextToken"),
)
DESCRIBE_UPDATE = Call(
    service="eks",
    operation="DescribeUpdate",
    purposes=("rollout",),
    grants=(Grant(action="eks:DescribeUpdate", resources=(_CLUSTER, _NODEGROUP)),),
)

CALLS: tuple[Call, ...] = tuple(value for value in vars().values() if isinstance(value, Call))
