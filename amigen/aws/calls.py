"""Every AWS call that amigen makes, with the permission it needs: the code calls by this table, and
`amigen iam-policy` prints it. A call that is not here cannot be made; a permission that no call needs is not printed.
"""

from __future__ import annotations

from amigen.aws import grants as g
from amigen.aws.grants import Call, call, created_tags, grant, kms, on_ours

# -- EC2: images -----------------------------------------------------------------------------------------------------
DESCRIBE_IMAGES = call("ec2", "DescribeImages", "build", "publish", "canary", "rollback", "images", "prune")
DESCRIBE_SNAPSHOTS = call("ec2", "DescribeSnapshots", "prune")
DESCRIBE_INSTANCES = call("ec2", "DescribeInstances", "canary", "images", "prune", "fleet")
DESCRIBE_TEMPLATES = call("ec2", "DescribeLaunchTemplates", "publish", "canary", "rollback", "images")
DESCRIBE_TEMPLATE_VERSIONS = call(
    "ec2", "DescribeLaunchTemplateVersions", "publish", "canary", "rollback", "images", "prune"
)
DESCRIBE_FLEETS = call("ec2", "DescribeFleets", "images", "prune")
DESCRIBE_SPOT_FLEETS = call("ec2", "DescribeSpotFleetRequests", "images", "prune")
DESCRIBE_SPOT_REQUESTS = call("ec2", "DescribeSpotInstanceRequests", "images", "prune")
DESCRIBE_IMAGE_ATTRIBUTE = on_ours("DescribeImageAttribute", "build", "publish", "prune", on=(g.IMAGE,))
DESCRIBE_SNAPSHOT_ATTRIBUTE = on_ours("DescribeSnapshotAttribute", "build", "publish", on=(g.SNAPSHOT,))
_COPY_KEYS = kms("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKey*")
COPY_IMAGE = call(
    "ec2",
    "CopyImage",
    "build",
    "publish",
    on=(g.IMAGE, g.SNAPSHOT),
    also=(created_tags("CopyImage", g.IMAGE, g.SNAPSHOT), *_COPY_KEYS),
)
TAG_IMAGE = call("ec2", "CreateTags", "build", "publish", on=(g.IMAGE, g.SNAPSHOT), condition=g.STAYS_OURS)
SHARE_IMAGE = on_ours("ModifyImageAttribute", "build", "publish", on=(g.IMAGE,))
SHARE_SNAPSHOT = on_ours("ModifySnapshotAttribute", "build", "publish", on=(g.SNAPSHOT,))
DEPRECATE_IMAGE = on_ours("EnableImageDeprecation", "build", "publish", on=(g.IMAGE,))
REMOVE_FAILED_COPY = on_ours("DeregisterImage", "build", "publish", on=(g.IMAGE,))
DEREGISTER_IMAGE = on_ours("DeregisterImage", "prune", on=(g.IMAGE,))
MARK_SNAPSHOT = call(
    "ec2",
    "CreateTags",
    "prune",
    on=(g.SNAPSHOT,),
    condition={**g.OURS, "ForAllValues:StringEquals": {"aws:TagKeys": "amigen/pruned-image"}},
)
DELETE_SNAPSHOT = on_ours("DeleteSnapshot", "prune", on=(g.SNAPSHOT,))
# Who else uses an image. EC2 deletes a report by itself after 30 days.
DESCRIBE_REFERENCES = call("ec2", "DescribeImageReferences", "prune")
DESCRIBE_USAGE_REPORTS = call("ec2", "DescribeImageUsageReports", "prune")
DESCRIBE_USAGE_ENTRIES = call("ec2", "DescribeImageUsageReportEntries", "prune")
_REPORT = grant("ec2:CreateImageUsageReport", g.USAGE_REPORT)
CREATE_USAGE_REPORT = on_ours("CreateImageUsageReport", "prune", on=(g.IMAGE,), also=(_REPORT,))

# -- EC2: launch templates -------------------------------------------------------------------------------------------
CREATE_TEMPLATE = call(
    "ec2",
    "CreateLaunchTemplate",
    "publish",
    on=(g.TEMPLATE,),
    condition=g.MADE_OURS,
    also=(created_tags("CreateLaunchTemplate", g.TEMPLATE), g.RESOLVED_PARAMETER),
)
CREATE_TEMPLATE_VERSION = on_ours(
    "CreateLaunchTemplateVersion", "publish", on=(g.TEMPLATE,), also=(g.RESOLVED_PARAMETER,)
)
SET_DEFAULT_VERSION = on_ours("ModifyLaunchTemplate", "publish", "canary", "rollback", on=(g.TEMPLATE,))
_HISTORY_TAGS = ("amigen/default-history", "amigen/rollback")
TAG_TEMPLATE = call(
    "ec2",
    "CreateTags",
    "publish",
    "canary",
    "rollback",
    on=(g.TEMPLATE,),
    condition={**g.OURS, "ForAllValues:StringEquals": {"aws:TagKeys": _HISTORY_TAGS}},
)

# -- EC2: the canary -------------------------------------------------------------------------------------------------
RUN_CANARY = Call(service="ec2", operation="RunInstances", purposes=("canary",), grants=g.TEMPLATE_LAUNCH)
TERMINATE_CANARY = call("ec2", "TerminateInstances", "canary", on=(g.INSTANCE,), condition=g.CANARY)

# -- Systems Manager -------------------------------------------------------------------------------------------------
_PUBLIC = "arn:{p}:ssm:*::parameter/aws/service/*"
GET_PUBLIC_PARAMETER = call("ssm", "GetParameter", "build", "images", on=(_PUBLIC,))
GET_SOURCE_PARAMETER = call(
    "ssm", "GetParameter", "build", "images", on=("arn:{p}:ssm:*:{a}:parameter{source}",), when=("source-parameter",)
)
GET_PARAMETER = call("ssm", "GetParameter", "publish", "rollback", "images", on=(g.PARAMETER,))
# Any template of the account may name its image by a parameter, and prune must know which image that is. Those of
# others are named by the user: all of them would be every secret of the account that is kept as a SecureString.
_NAMED = grant("ssm:GetParameters", "arn:{p}:ssm:*:{a}:parameter{named}", when=("named-parameter",))
GET_NAMED_PARAMETERS = call("ssm", "GetParameters", "images", "prune", on=(g.PARAMETER, _PUBLIC), also=(_NAMED,))
PUT_PARAMETER = call("ssm", "PutParameter", "publish", "rollback", on=(g.PARAMETER,))
DESCRIBE_MANAGED_INSTANCES = call("ssm", "DescribeInstanceInformation", "canary")
LIST_COMMANDS = call("ssm", "ListCommands", "canary", "fleet")
LIST_COMMAND_INVOCATIONS = call("ssm", "ListCommandInvocations", "canary", "fleet")
GET_COMMAND_INVOCATION = call("ssm", "GetCommandInvocation", "canary", "fleet", "verify")
CANCEL_COMMAND = call("ssm", "CancelCommand", "canary", "fleet")
_SHELL = ("arn:{p}:ssm:*::document/AWS-RunShellScript",)
_TAGGED = grant("ssm:SendCommand", g.INSTANCE, condition={"StringEquals": {"ssm:resourceTag/{tag}": "{value}"}})
SEND_COMMAND = call("ssm", "SendCommand", "fleet", "verify", on=_SHELL, also=(_TAGGED,))
_CANARIES = grant(
    "ssm:SendCommand",
    g.INSTANCE,
    condition={
        "StringEquals": {"ssm:resourceTag/amigen/name": "{name}"},
        "StringLike": {"ssm:resourceTag/amigen/canary": "{name}-*"},
    },
)
SEND_CANARY_COMMAND = call("ssm", "SendCommand", "canary", on=_SHELL, also=(_CANARIES,))

# -- Auto Scaling ----------------------------------------------------------------------------------------------------
DESCRIBE_GROUPS = call("autoscaling", "DescribeAutoScalingGroups", "rollout", "images", "prune")
DESCRIBE_LAUNCH_CONFIGURATIONS = call("autoscaling", "DescribeLaunchConfigurations", "images", "prune")
DESCRIBE_REFRESHES = call("autoscaling", "DescribeInstanceRefreshes", "rollout")
# Auto Scaling checks that the caller could launch the template that it is to use
# (https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html).
START_REFRESH = call("autoscaling", "StartInstanceRefresh", "rollout", on=(g.GROUP,), also=g.TEMPLATE_LAUNCH)
CANCEL_REFRESH = call("autoscaling", "CancelInstanceRefresh", "rollout", on=(g.GROUP,))

# -- EKS -------------------------------------------------------------------------------------------------------------
DESCRIBE_NODEGROUP = call("eks", "DescribeNodegroup", "rollout", on=(g.NODEGROUP,))
UPDATE_NODEGROUP = call("eks", "UpdateNodegroupVersion", "rollout", on=(g.NODEGROUP,), also=g.TEMPLATE_LAUNCH)
LIST_UPDATES = call("eks", "ListUpdates", "rollout", on=(g.CLUSTER, g.NODEGROUP))
DESCRIBE_UPDATE = call("eks", "DescribeUpdate", "rollout", on=(g.CLUSTER, g.NODEGROUP))

# -- EKS: the add-on kube-proxy --------------------------------------------------------------------------------------
DESCRIBE_ADDON = call("eks", "DescribeAddon", "kube-proxy", on=(g.ADDON,))
DESCRIBE_ADDON_CONFIGURATION = call("eks", "DescribeAddonConfiguration", "kube-proxy")
UPDATE_ADDON = call("eks", "UpdateAddon", "kube-proxy", on=(g.ADDON,))
LIST_ADDON_UPDATES = call("eks", "ListUpdates", "kube-proxy", on=(g.CLUSTER, g.ADDON))
DESCRIBE_ADDON_UPDATE = call("eks", "DescribeUpdate", "kube-proxy", on=(g.CLUSTER, g.ADDON))

CALLS: tuple[Call, ...] = tuple(value for value in vars().values() if isinstance(value, Call))
