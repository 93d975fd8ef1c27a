"""Every AWS call that amigen makes, with the permission it needs: the code calls by this table, and
`amigen iam-policy` prints it. A call that is not here cannot be made; a permission that no call needs is not printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from amigen.aws.grants import (
    CANARY,
    CLUSTER,
    GROUP,
    IMAGE,
    INSTANCE,
    MADE_OURS,
    NODEGROUP,
    OURS,
    PARAMETER,
    SNAPSHOT,
    TEMPLATE,
    Condition,
    Grant,
    created_tags,
    kms_grants,
    template_launch_grants,
)

Purpose = Literal["build", "publish", "canary", "rollout", "rollback", "images", "prune", "fleet"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


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


def _read(service: str, operation: str, *purposes: Purpose, prefix: str = "", tokens: str = "NextToken") -> Call:
    """A call that only reads and takes no resource in a policy."""
    grant = Grant(action=f"{prefix or service}:{operation}")
    return Call(service=service, operation=operation, purposes=purposes, grants=(grant,), tokens=(tokens, tokens))


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
DESCRIBE_IMAGE_ATTRIBUTE = _ec2("DescribeImageAttribute", "build", "publish", on=(IMAGE,))
DESCRIBE_SNAPSHOT_ATTRIBUTE = _ec2("DescribeSnapshotAttribute", "build", "publish", on=(SNAPSHOT,))
COPY_IMAGE = _ec2(
    "CopyImage",
    "build",
    "publish",
    on=(IMAGE, SNAPSHOT),
    condition={},
    also=(
        created_tags("CopyImage", IMAGE, SNAPSHOT),
        *kms_grants("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKey*"),
    ),
)
TAG_IMAGE = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("build", "publish"),
    grants=(Grant(action="ec2:CreateTags", resources=(IMAGE, SNAPSHOT), condition=MADE_OURS),),
)
SHARE_IMAGE = _ec2("ModifyImageAttribute", "build", "publish", on=(IMAGE,))
SHARE_SNAPSHOT = _ec2("ModifySnapshotAttribute", "build", "publish", on=(SNAPSHOT,))
DEPRECATE_IMAGE = _ec2("EnableImageDeprecation", "build", "publish", on=(IMAGE,))
REMOVE_FAILED_COPY = _ec2("DeregisterImage", "build", "publish", on=(IMAGE,))
DEREGISTER_IMAGE = _ec2("DeregisterImage", "prune", on=(IMAGE,))
MARK_SNAPSHOT = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("prune",),
    grants=(
        Grant(
            action="ec2:CreateTags",
            resources=(SNAPSHOT,),
            condition={**OURS, "ForAllValues:StringEquals": {"aws:TagKeys": "amigen/pruned-image"}},
        ),
    ),
)
DELETE_SNAPSHOT = _ec2("DeleteSnapshot", "prune", on=(SNAPSHOT,))

# -- EC2: launch templates -------------------------------------------------------------------------------------------
CREATE_TEMPLATE = _ec2(
    "CreateLaunchTemplate",
    "publish",
    on=(TEMPLATE,),
    condition=MADE_OURS,
    also=(created_tags("CreateLaunchTemplate", TEMPLATE),),
)
CREATE_TEMPLATE_VERSION = _ec2("CreateLaunchTemplateVersion", "publish", on=(TEMPLATE,))
SET_DEFAULT_VERSION = _ec2("ModifyLaunchTemplate", "publish", "canary", "rollback", on=(TEMPLATE,))
TAG_TEMPLATE = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("publish", "canary", "rollback"),
    grants=(
        Grant(
            action="ec2:CreateTags",
            resources=(TEMPLATE,),
            condition={
                **OURS,
                "ForAllValues:StringEquals": {"aws:TagKeys": ("amigen/default-history", "amigen/rollback")},
            },
        ),
    ),
)

# -- EC2: the canary -------------------------------------------------------------------------------------------------
RUN_CANARY = Call(service="ec2", operation="RunInstances", purposes=("canary",), grants=template_launch_grants())
TERMINATE_CANARY = _ec2("TerminateInstances", "canary", on=(INSTANCE,), condition=CANARY)

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
    grants=(Grant(action="ssm:GetParameter", resources=(PARAMETER,)),),
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
    grants=(Grant(action="ssm:PutParameter", resources=(PARAMETER,)),),
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
            resources=(INSTANCE,),
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
            resources=(INSTANCE,),
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
    grants=(Grant(action="autoscaling:StartInstanceRefresh", resources=(GROUP,)), *template_launch_grants()),
)
CANCEL_REFRESH = Call(
    service="autoscaling",
    operation="CancelInstanceRefresh",
    purposes=("rollout",),
    grants=(Grant(action="autoscaling:CancelInstanceRefresh", resources=(GROUP,)),),
)

# -- EKS -------------------------------------------------------------------------------------------------------------
DESCRIBE_NODEGROUP = Call(
    service="eks",
    operation="DescribeNodegroup",
    purposes=("rollout",),
    grants=(Grant(action="eks:DescribeNodegroup", resources=(NODEGROUP,)),),
)
UPDATE_NODEGROUP = Call(
    service="eks",
    operation="UpdateNodegroupVersion",
    purposes=("rollout",),
    grants=(Grant(action="eks:UpdateNodegroupVersion", resources=(NODEGROUP,)), *template_launch_grants()),
)
LIST_UPDATES = Call(
    service="eks",
    operation="ListUpdates",
    purposes=("rollout",),
    grants=(Grant(action="eks:ListUpdates", resources=(CLUSTER, NODEGROUP)),),
    tokens=("nextToken", "nextToken"),
)
DESCRIBE_UPDATE = Call(
    service="eks",
    operation="DescribeUpdate",
    purposes=("rollout",),
    grants=(Grant(action="eks:DescribeUpdate", resources=(CLUSTER, NODEGROUP)),),
)

CALLS: tuple[Call, ...] = tuple(value for value in vars().values() if isinstance(value, Call))
