"""What a call to AWS needs: actions, resources and conditions of IAM, and the parts that calls are described by.

Actions, resource types and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/
(list_amazonec2, list_awssystemsmanager, list_amazonec2autoscaling, list_amazonelastickubernetesservice).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Purpose = Literal["build", "publish", "canary", "rollout", "rollback", "images", "prune", "fleet"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
Need = Literal[
    "always",
    "kms-key",
    "instance-profile",
    "resolved-parameter",
    "source-parameter",
    "network",
    "deprecation",
    "session-manager",
]

# Placeholders of the resources and conditions below; `amigen.publish.policy` fills them in.
#   {p} partition, {a} account, {name} name of the spec, {group} Auto Scaling group, {cluster} and {nodegroup} of EKS,
#   {tag} and {value} of the fleet's tag, {source} a parameter of the user's own that names a base image.
Condition = Mapping[str, Mapping[str, str | tuple[str, ...]]]

IMAGE = "arn:{p}:ec2:*::image/*"
SNAPSHOT = "arn:{p}:ec2:*::snapshot/*"
TEMPLATE = "arn:{p}:ec2:*:{a}:launch-template/*"
INSTANCE = "arn:{p}:ec2:*:{a}:instance/*"
VOLUME = "arn:{p}:ec2:*:{a}:volume/*"
PARAMETER = "arn:{p}:ssm:*:{a}:parameter/amigen/{name}/*"
GROUP = "arn:{p}:autoscaling:*:{a}:autoScalingGroup:*:autoScalingGroupName/{group}"
NODEGROUP = "arn:{p}:eks:*:{a}:nodegroup/{cluster}/{nodegroup}/*"
CLUSTER = "arn:{p}:eks:*:{a}:cluster/{cluster}"

OURS: Condition = {"StringEquals": {"aws:ResourceTag/amigen/name": "{name}"}}
# Nodes carry the name, too; a builder and what is made of it also say which build it was.
BUILDER: Condition = {**OURS, "StringLike": {"aws:ResourceTag/amigen/build": "*"}}
MADE_OURS: Condition = {"StringEquals": {"aws:RequestTag/amigen/name": "{name}"}}
# A thing that is ours already and stays so. The request's tag alone would let anything of the account be made ours, and
# then be shared, deregistered and deleted, as those ask only for the tag.
STAYS_OURS: Condition = {"StringEquals": {**OURS["StringEquals"], **MADE_OURS["StringEquals"]}}
# A thing that nobody has named yet.
NOBODYS: Condition = {"Null": {"aws:ResourceTag/amigen/name": "true"}}
BECOMES_OURS: Condition = {**MADE_OURS, **NOBODYS}
CANARY: Condition = {"StringLike": {"aws:ResourceTag/amigen/canary": "{name}-*"}}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A permission: an IAM action on resources, under conditions.

    Attributes:
        when: Part of the spec without which the permission is not needed: a customer's KMS key, an instance profile,
            a template that resolves our parameter, a source parameter of the user's own, a subnet or VPC of the
            builder, deprecation, Session Manager.
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


def kms(*actions: str) -> tuple[Grant, ...]:
    """What EC2 does with the customer's key on the caller's behalf.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html (copies),
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html (volumes of an instance).
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
    condition: Condition = {"StringEquals": {"ec2:CreateAction": action, **MADE_OURS["StringEquals"]}}
    return Grant(action="ec2:CreateTags", resources=resources, condition=condition)


def reading(service: str, operation: str, *purposes: Purpose, prefix: str = "", tokens: str = "NextToken") -> Call:
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


def resolved_parameter() -> Grant:
    """The parameter that a template resolves: who makes or launches such a template must be able to read it.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html,
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html
    """
    return Grant(action="ssm:GetParameters", resources=(PARAMETER,), when="resolved-parameter")


def launch_grants() -> tuple[Grant, ...]:
    """RunInstances: what is made carries our tags, what is used is read.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html (RunInstances)
    """
    kinds = ("network-interface", "subnet", "security-group", "key-pair")
    used = tuple(f"arn:{{p}}:ec2:*:{{a}}:{kind}/*" for kind in kinds)
    return (
        Grant(action="ec2:RunInstances", resources=(INSTANCE, VOLUME), condition=MADE_OURS),
        Grant(action="ec2:RunInstances", resources=(IMAGE, SNAPSHOT, *used)),
        created_tags("RunInstances", INSTANCE, VOLUME),
        _pass_role(),
    )


def template_launch_grants() -> tuple[Grant, ...]:
    """RunInstances of one of our templates, whose disks are encrypted as the spec says."""
    return (
        Grant(action="ec2:RunInstances", resources=(TEMPLATE,), condition=OURS),
        *launch_grants(),
        *kms("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKeyWithoutPlaintext"),
        resolved_parameter(),
    )


def on_ec2(
    operation: str, *purposes: Purpose, on: tuple[str, ...], condition: Condition = OURS, also: tuple[Grant, ...] = ()
) -> Call:
    own = Grant(action=f"ec2:{operation}", resources=on, condition=condition)
    return Call(service="ec2", operation=operation, purposes=purposes, grants=(own, *also))
