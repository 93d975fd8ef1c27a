"""What a call to AWS needs: actions, resources and conditions of IAM, and the parts that calls are described by.

Actions, resource types and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/
(list_amazonec2, list_awssystemsmanager, list_amazonec2autoscaling, list_amazonelastickubernetesservice).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Purpose = Literal[
    "build", "publish", "canary", "rollout", "rollback", "images", "prune", "fleet", "kube-proxy", "verify"
]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

# Placeholders of the resources and conditions below; `amigen.publish.policy` fills them in.
#   {p} partition, {a} account, {name} name of the spec, {group} Auto Scaling group, {cluster} and {nodegroup} of EKS,
#   {tag} and {value} of the fleet's tag, {source} a parameter of the user's own that names a base image, {builder} the
#   instance profile of the builder, {role} a role that is passed, {named} a parameter of others that templates resolve.
Condition = Mapping[str, Mapping[str, str | tuple[str, ...]]]

IMAGE = "arn:{p}:ec2:*::image/*"
SNAPSHOT = "arn:{p}:ec2:*::snapshot/*"
TEMPLATE = "arn:{p}:ec2:*:{a}:launch-template/*"
INSTANCE = "arn:{p}:ec2:*:{a}:instance/*"
VOLUME = "arn:{p}:ec2:*:{a}:volume/*"
USAGE_REPORT = "arn:{p}:ec2:*:{a}:image-usage-report/*"
INTERFACE = "arn:{p}:ec2:*:{a}:network-interface/*"
FLEET = "arn:{p}:ec2:*:{a}:fleet/*"
SPOT_REQUEST = "arn:{p}:ec2:*:{a}:spot-instances-request/*"
PARAMETER = "arn:{p}:ssm:*:{a}:parameter/amigen/{name}/*"
GROUP = "arn:{p}:autoscaling:*:{a}:autoScalingGroup:*:autoScalingGroupName/{group}"
NODEGROUP = "arn:{p}:eks:*:{a}:nodegroup/{cluster}/{nodegroup}/*"
CLUSTER = "arn:{p}:eks:*:{a}:cluster/{cluster}"
ADDON = "arn:{p}:eks:*:{a}:addon/{cluster}/kube-proxy/*"

OURS: Condition = {"StringEquals": {"aws:ResourceTag/amigen/name": "{name}"}}
# Nodes carry the name, too; a builder and what is made of it also say which build it was.
BUILDER: Condition = {**OURS, "StringLike": {"aws:ResourceTag/amigen/build": "*"}}
MADE_OURS: Condition = {"StringEquals": {"aws:RequestTag/amigen/name": "{name}"}}
# A thing that is ours already and stays so. The request's tag alone would let anything of the account be made ours, and
# then be shared, deregistered and deleted, as those ask only for the tag.
STAYS_OURS: Condition = {"StringEquals": {**OURS["StringEquals"], **MADE_OURS["StringEquals"]}}
# A thing that nobody has named yet.
UNNAMED: Condition = {"Null": {"aws:ResourceTag/amigen/name": "true"}}
BECOMES_OURS: Condition = {**MADE_OURS, **UNNAMED}
# Of a spec whose name is the beginning of another one, the mark alone would fit the canaries of that one, too.
CANARY: Condition = {**OURS, "StringLike": {"aws:ResourceTag/amigen/canary": "{name}-*"}}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A permission: an IAM action on resources, under conditions.

    Attributes:
        when: The permission is needed where all of these hold; `amigen.publish.policy.needs` says what they are.
    """

    action: str
    resources: tuple[str, ...] = ("*",)
    condition: Condition = field(default_factory=dict)
    when: tuple[str, ...] = ()


def grant(action: str, *resources: str, condition: Condition | None = None, when: tuple[str, ...] = ()) -> Grant:
    """A permission; without `resources` for all."""
    return Grant(action=action, resources=resources or ("*",), condition=condition or {}, when=when)


@dataclass(frozen=True, kw_only=True)
class Call:
    """An operation of a service, what it is used for, and what it needs.

    Attributes:
        service: botocore's name.
        operation: As in botocore's service model.
        grants: The permissions; the first is the call's own, the others are those that AWS checks besides it.
    """

    service: str
    operation: str
    purposes: tuple[Purpose, ...]
    grants: tuple[Grant, ...]

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
    grants = (grant(f"kms:{action}", key, condition=through_ec2, when=("kms-key",)) for action in actions)
    for_service: Condition = {**through_ec2, "Bool": {"kms:GrantIsForAWSResource": "true"}}
    return (*grants, grant("kms:CreateGrant", key, condition=for_service, when=("kms-key",)))


def created_tags(action: str, *resources: str, when: tuple[str, ...] = ()) -> Grant:
    """Tags that are given while a thing is made.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html
    """
    condition: Condition = {"StringEquals": {"ec2:CreateAction": action, **MADE_OURS["StringEquals"]}}
    return grant("ec2:CreateTags", *resources, condition=condition, when=when)


def call(
    service: str,
    operation: str,
    *purposes: Purpose,
    on: tuple[str, ...] = ("*",),
    condition: Condition | None = None,
    when: tuple[str, ...] = (),
    also: tuple[Grant, ...] = (),
) -> Call:
    """A call that needs the permission of its own name.

    Args:
        service, operation: As in `Call`.
        purposes: As in `Call`.
        on, condition, when: Of the permission; without `on` the call takes no resource in a policy.
        also: What AWS checks besides.
    """
    own = grant(f"{service}:{operation}", *on, condition=condition, when=when)
    return Call(service=service, operation=operation, purposes=purposes, grants=(own, *also))


def _pass_role(when: str) -> Grant:
    """The role of the instance profile is passed to EC2.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    condition = {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}}
    roles = ("arn:{p}:iam::{a}:role/{role}", "arn:{p}:iam::{a}:role/*/{role}")
    return grant("iam:PassRole", *roles, condition=condition, when=(when,))


# The parameter that a template resolves: who makes or launches such a template must be able to read it.
# Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html,
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html
RESOLVED_PARAMETER = grant("ssm:GetParameters", PARAMETER, when=("resolved-parameter",))

_RUN = "ec2:RunInstances"
_USED = tuple(f"arn:{{p}}:ec2:*:{{a}}:{kind}/*" for kind in ("subnet", "security-group", "key-pair"))
_MAKE_TAGGED = created_tags("RunInstances", INSTANCE, VOLUME, INTERFACE)
# RunInstances of one of our templates, whose disks are encrypted as the spec says: what is made carries our tags, what
# is used is read. Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html (RunInstances)
TEMPLATE_LAUNCH = (
    grant(_RUN, TEMPLATE, condition=OURS),
    grant(_RUN, INSTANCE, VOLUME, condition=MADE_OURS),
    grant(_RUN, IMAGE, SNAPSHOT, INTERFACE, *_USED),
    _MAKE_TAGGED,
    _pass_role("instance-profile"),
    *kms("DescribeKey", "Decrypt", "ReEncrypt*", "GenerateDataKeyWithoutPlaintext"),
    RESOLVED_PARAMETER,
)

BUILDER_PROFILES = ("arn:{p}:iam::{a}:instance-profile/{builder}", "arn:{p}:iam::{a}:instance-profile/*/{builder}")
_WITH_PROFILE: Condition = {"ArnLike": {"ec2:InstanceProfile": BUILDER_PROFILES}}
_WITHOUT_PROFILE: Condition = {"Null": {"ec2:InstanceProfile": "true"}}
# RunInstances of the builder, with the instance profile of the spec and no other.
# Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html (RunInstances:
# ec2:InstanceProfile and ec2:InstanceType of the instance)
BUILDER_LAUNCH = (
    grant(_RUN, INSTANCE, condition={**MADE_OURS, **_WITH_PROFILE}, when=("builder-profile", "launch-tags")),
    grant(_RUN, INSTANCE, condition={**MADE_OURS, **_WITHOUT_PROFILE}, when=("no-builder-profile", "launch-tags")),
    grant(_RUN, VOLUME, condition=MADE_OURS, when=("launch-tags",)),
    grant(_RUN, INSTANCE, condition=_WITH_PROFILE, when=("builder-profile", "tags-afterwards")),
    grant(_RUN, INSTANCE, condition=_WITHOUT_PROFILE, when=("no-builder-profile", "tags-afterwards")),
    grant(_RUN, VOLUME, when=("tags-afterwards",)),
    # A dry run without tags shows Packer whether EC2 knows the profile (common/step_iam_instance_profile.go).
    grant(
        _RUN,
        INSTANCE,
        condition={**_WITH_PROFILE, "StringEquals": {"ec2:InstanceType": "t3.nano"}},
        when=("temporary-profile", "launch-tags"),
    ),
    grant(_RUN, VOLUME, when=("temporary-profile", "launch-tags")),
    grant(_RUN, IMAGE, SNAPSHOT, INTERFACE, *_USED),
    grant(_RUN, TEMPLATE, condition=OURS, when=("spot",)),
    grant(_RUN, SPOT_REQUEST, when=("spot",)),
    dataclasses.replace(_MAKE_TAGGED, when=("launch-tags",)),
    _pass_role("builder-profile"),
)


def on_ours(operation: str, *purposes: Purpose, on: tuple[str, ...], also: tuple[Grant, ...] = ()) -> Call:
    """A call of EC2 on things that carry our tag."""
    return call("ec2", operation, *purposes, on=on, condition=OURS, also=also)
