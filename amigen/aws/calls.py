"""Every AWS call that amigen makes, with the permission it needs: the code calls by this table, and
`amigen iam-policy` prints it. A call that is not here cannot be made; a permission that no call needs is not printed.
"""

from __future__ import annotations

from amigen.aws.grants import (
    ADDON,
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
    STAYS_OURS,
    TEMPLATE,
    USAGE_REPORT,
    Call,
    Grant,
    created_tags,
    kms,
    on_ec2,
    reading,
    resolved_parameter,
    template_launch_grants,
)

# -- EC2: images -----------------------------------------------------------------------------------------------------
DESCRIBE_IMAGES = reading("ec2", "DescribeImages", "build", "publish", "canary", "rollback", "images", "prune")
DESCRIBE_SNAPSHOTS = reading("ec2", "DescribeSnapshots", "prune")
DESCRIBE_INSTANCES = reading("ec2", "DescribeInstances", "canary", "images", "prune", "fleet")
DESCRIBE_TEMPLATES = reading("ec2", "DescribeLaunchTemplates", "publish", "canary", "rollback", "images")
DESCRIBE_TEMPLATE_VERSIONS = reading(
    "ec2", "DescribeLaunchTemplateVersions", "publish", "canary", "rollback", "images", "prune"
)
DESCRIBE_FLEETS = reading("ec2", "DescribeFleets", "images", "prune")
DESCRIBE_SPOT_FLEETS = reading("ec2", "DescribeSpotFleetRequests", "images", "prune")
DESCRIBE_SPOT_REQUESTS = reading("ec2", "DescribeSpotInstanceRequests", "images", "prune")
DESCRIBE_IMAGE_ATTRIBUTE = on_ec2("DescribeImageAttribute", "build", "publish", "prune", on=(IMAGE,))
DESCRIBE_SNAPSHOT_ATTRIBUTE = on_ec2("DescribeSnapshotAttribute", "build", "publish", on=(SNAPSHOT,))
COPY_IMAGE = on_ec2(
    "CopyImage",
    "build",
    "publish",
    on=(IMAGE, SNAPSHOT),
    condition={},
    also=(
        created_tags("CopyImage", IMAGE, SNAPSHOT),
        *kms("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKey*"),
    ),
)
TAG_IMAGE = Call(
    service="ec2",
    operation="CreateTags",
    purposes=("build", "publish"),
    grants=(Grant(action="ec2:CreateTags", resources=(IMAGE, SNAPSHOT), condition=STAYS_OURS),),
)
SHARE_IMAGE = on_ec2("ModifyImageAttribute", "build", "publish", on=(IMAGE,))
SHARE_SNAPSHOT = on_ec2("ModifySnapshotAttribute", "build", "publish", on=(SNAPSHOT,))
DEPRECATE_IMAGE = on_ec2("EnableImageDeprecation", "build", "publish", on=(IMAGE,))
REMOVE_FAILED_COPY = on_ec2("DeregisterImage", "build", "publish", on=(IMAGE,))
DEREGISTER_IMAGE = on_ec2("DeregisterImage", "prune", on=(IMAGE,))
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
DELETE_SNAPSHOT = on_ec2("DeleteSnapshot", "prune", on=(SNAPSHOT,))
# Who else uses an image. EC2 deletes a report by itself after 30 days.
DESCRIBE_REFERENCES = reading("ec2", "DescribeImageReferences", "prune")
DESCRIBE_USAGE_REPORTS = reading("ec2", "DescribeImageUsageReports", "prune")
DESCRIBE_USAGE_ENTRIES = reading("ec2", "DescribeImageUsageReportEntries", "prune")
CREATE_USAGE_REPORT = on_ec2(
    "CreateImageUsageReport",
    "prune",
    on=(IMAGE,),
    also=(Grant(action="ec2:CreateImageUsageReport", resources=(USAGE_REPORT,)),),
)

# -- EC2: launch templates -------------------------------------------------------------------------------------------
CREATE_TEMPLATE = on_ec2(
    "CreateLaunchTemplate",
    "publish",
    on=(TEMPLATE,),
    condition=MADE_OURS,
    also=(created_tags("CreateLaunchTemplate", TEMPLATE), resolved_parameter()),
)
CREATE_TEMPLATE_VERSION = on_ec2("CreateLaunchTemplateVersion", "publish", on=(TEMPLATE,), also=(resolved_parameter(),))
SET_DEFAULT_VERSION = on_ec2("ModifyLaunchTemplate", "publish", "canary", "rollback", on=(TEMPLATE,))
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
TERMINATE_CANARY = on_ec2("TerminateInstances", "canary", on=(INSTANCE,), condition=CANARY)

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
        Grant(
            action="ssm:GetParameter", resources=("arn:{p}:ssm:*:{a}:parameter{source}",), when=("source-parameter",)
        ),
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
    # Any template of the account may name its image by a parameter, and prune must know which image that is. Those of
    # others are named by the user: all of them would be every secret of the account that is kept as a SecureString.
    grants=(
        Grant(action="ssm:GetParameters", resources=(PARAMETER, "arn:{p}:ssm:*::parameter/aws/service/*")),
        Grant(action="ssm:GetParameters", resources=("arn:{p}:ssm:*:{a}:parameter{named}",), when=("named-parameter",)),
    ),
)
PUT_PARAMETER = Call(
    service="ssm",
    operation="PutParameter",
    purposes=("publish", "rollback"),
    grants=(Grant(action="ssm:PutParameter", resources=(PARAMETER,)),),
)
DESCRIBE_MANAGED_INSTANCES = reading("ssm", "DescribeInstanceInformation", "canary")
LIST_COMMANDS = reading("ssm", "ListCommands", "canary", "fleet")
LIST_COMMAND_INVOCATIONS = reading("ssm", "ListCommandInvocations", "canary", "fleet")
GET_COMMAND_INVOCATION = reading("ssm", "GetCommandInvocation", "canary", "fleet", "verify")
CANCEL_COMMAND = reading("ssm", "CancelCommand", "canary", "fleet")
_SHELL = "arn:{p}:ssm:*::document/AWS-RunShellScript"
SEND_COMMAND = Call(
    service="ssm",
    operation="SendCommand",
    purposes=("fleet", "verify"),
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
            condition={
                "StringEquals": {"ssm:resourceTag/amigen/name": "{name}"},
                "StringLike": {"ssm:resourceTag/amigen/canary": "{name}-*"},
            },
        ),
    ),
)

# -- Auto Scaling ----------------------------------------------------------------------------------------------------
DESCRIBE_GROUPS = reading("autoscaling", "DescribeAutoScalingGroups", "rollout", "images", "prune")
DESCRIBE_LAUNCH_CONFIGURATIONS = reading("autoscaling", "DescribeLaunchConfigurations", "images", "prune")
DESCRIBE_REFRESHES = reading("autoscaling", "DescribeInstanceRefreshes", "rollout")
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

# -- EKS: the add-on kube-proxy --------------------------------------------------------------------------------------
DESCRIBE_ADDON = Call(
    service="eks",
    operation="DescribeAddon",
    purposes=("kube-proxy",),
    grants=(Grant(action="eks:DescribeAddon", resources=(ADDON,)),),
)
DESCRIBE_ADDON_CONFIGURATION = reading("eks", "DescribeAddonConfiguration", "kube-proxy")
UPDATE_ADDON = Call(
    service="eks",
    operation="UpdateAddon",
    purposes=("kube-proxy",),
    grants=(Grant(action="eks:UpdateAddon", resources=(ADDON,)),),
)
LIST_ADDON_UPDATES = Call(
    service="eks",
    operation="ListUpdates",
    purposes=("kube-proxy",),
    grants=(Grant(action="eks:ListUpdates", resources=(CLUSTER, ADDON)),),
    tokens=("nextToken", "nextToken"),
)
DESCRIBE_ADDON_UPDATE = Call(
    service="eks",
    operation="DescribeUpdate",
    purposes=("kube-proxy",),
    grants=(Grant(action="eks:DescribeUpdate", resources=(CLUSTER, ADDON)),),
)

CALLS: tuple[Call, ...] = tuple(value for value in vars().values() if isinstance(value, Call))
