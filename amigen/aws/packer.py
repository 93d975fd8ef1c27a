"""The calls that Packer's amazon-ebs builder makes for `amigen build --target aws`, with the permissions they need.

amigen does not make them itself; they are here so that `amigen iam-policy --for build` can print them.

Source: packer-plugin-amazon 1.8.2 (https://github.com/hashicorp/packer-plugin-amazon), `builder/ebs/builder.go` with
its steps in `common/`, for the options that the rendered file sets. In China (`IsChinaCloud`) nothing is tagged while
it is made; in China and in GovCloud images and snapshots are not (`IsRestricted`): they get their tags afterwards.
A spot instance gets its tags from a launch template, in every partition. tests/publish/test_packer_calls.py records
the calls of the real plugin.
"""

from __future__ import annotations

from amigen.aws.grants import (
    BECOMES_OURS,
    BUILDER,
    BUILDER_LAUNCH,
    BUILDER_PROFILES,
    FLEET,
    IMAGE,
    INSTANCE,
    INTERFACE,
    MADE_OURS,
    OURS,
    SNAPSHOT,
    SPOT_REQUEST,
    STAYS_OURS,
    TEMPLATE,
    UNNAMED,
    VOLUME,
    Call,
    Condition,
    Grant,
    Need,
    created_tags,
    grant,
)

_GROUP = "arn:{p}:ec2:*:{a}:security-group/*"
_KEY = "arn:{p}:ec2:*:{a}:key-pair/amigen-*-{name}-*"
_SESSION = "arn:{p}:ssm:*:*:session/${{aws:userid}}-*"


def _call(operation: str, *grants: Grant, service: str = "ec2") -> Call:
    return Call(service=service, operation=operation, purposes=("build",), grants=grants)


def _describe(what: str, *when: Need) -> Call:
    return _call(f"Describe{what}", grant(f"ec2:Describe{what}", when=when))


# A temporary group, and how it and the temporary key pair are told apart from those of others: by the tag that they
# are made with, or by having none.
_OWN: tuple[Need, ...] = ("temporary-group", "tags-while-made")
_BARE: tuple[Need, ...] = ("temporary-group", "untagged-helpers")
DELETE_KEY_PAIR = _call(
    "DeleteKeyPair",
    grant("ec2:DeleteKeyPair", _KEY, condition=OURS, when=("tags-while-made",)),
    grant("ec2:DeleteKeyPair", _KEY, condition=UNNAMED, when=("untagged-helpers",)),
)
# The temporary instance profile and its role have one name: packer-UUID.
_TEMPORARY_PROFILE, _TEMPORARY_ROLE = "arn:{p}:iam::{a}:instance-profile/packer-*", "arn:{p}:iam::{a}:role/packer-*"
DELETE_TEMPLATE = _call(
    "DeleteLaunchTemplate", grant("ec2:DeleteLaunchTemplate", TEMPLATE, condition=OURS, when=("spot",))
)
DELETE_GROUP = _call(
    "DeleteSecurityGroup",
    grant("ec2:DeleteSecurityGroup", _GROUP, condition=OURS, when=_OWN),
    grant("ec2:DeleteSecurityGroup", _GROUP, condition=UNNAMED, when=_BARE),
)


def _on_temporary(operation: str, resource: str, condition: Condition = OURS, *, tag: str = "") -> Call:
    """A call on the temporary profile or its role; `tag`: the action that tags what the call makes."""
    actions = (f"iam:{operation}", *([f"iam:{tag}"] if tag else []))
    grants = (grant(each, resource, condition=condition, when=("temporary-profile",)) for each in actions)
    return _call(operation, *grants, service="iam")


PACKER_CALLS: tuple[Call, ...] = (
    _describe("Regions"),
    _describe("SecurityGroups"),
    _describe("Volumes"),
    _describe("Instances"),
    # The tunnel of Session Manager looks whether the instance is still there (common/ssm/session.go).
    _describe("InstanceStatus", "session-manager"),
    # common/step_network_info.go and common/step_pre_validate.go
    _describe("Vpcs", "find-vpc"),
    _describe("Subnets", "find-subnet"),
    _describe("InstanceTypeOfferings", "choose-subnet"),
    _call(
        "CreateKeyPair",
        grant("ec2:CreateKeyPair", _KEY),
        created_tags("CreateKeyPair", _KEY, when=("tags-while-made",)),
    ),
    DELETE_KEY_PAIR,
    _call(
        "CreateSecurityGroup",
        grant("ec2:CreateSecurityGroup", "arn:{p}:ec2:*:{a}:vpc/*", when=("temporary-group",)),
        grant("ec2:CreateSecurityGroup", _GROUP, condition=MADE_OURS, when=_OWN),
        created_tags("CreateSecurityGroup", _GROUP, when=_OWN),
        grant("ec2:CreateSecurityGroup", _GROUP, when=_BARE),
    ),
    # Nothing is opened for Session Manager (SkipSSHRuleCreation).
    _call(
        "AuthorizeSecurityGroupIngress",
        grant("ec2:AuthorizeSecurityGroupIngress", _GROUP, condition=OURS, when=(*_OWN, "ssh")),
        grant("ec2:AuthorizeSecurityGroupIngress", _GROUP, condition=UNNAMED, when=(*_BARE, "ssh")),
    ),
    DELETE_GROUP,
    _call(
        "GetInstanceProfile",
        grant("iam:GetInstanceProfile", *BUILDER_PROFILES, when=("builder-profile",)),
        service="iam",
    ),
    # common/step_iam_instance_profile.go
    _on_temporary("CreateInstanceProfile", _TEMPORARY_PROFILE, MADE_OURS, tag="TagInstanceProfile"),
    _on_temporary("CreateRole", _TEMPORARY_ROLE, MADE_OURS, tag="TagRole"),
    _on_temporary("GetRole", _TEMPORARY_ROLE),
    _on_temporary("PutRolePolicy", _TEMPORARY_ROLE),
    _on_temporary("AddRoleToInstanceProfile", _TEMPORARY_PROFILE),
    _on_temporary("RemoveRoleFromInstanceProfile", _TEMPORARY_PROFILE),
    _on_temporary("DeleteRolePolicy", _TEMPORARY_ROLE),
    _on_temporary("DeleteRole", _TEMPORARY_ROLE),
    _on_temporary("DeleteInstanceProfile", _TEMPORARY_PROFILE),
    _call("RunInstances", *BUILDER_LAUNCH),
    # common/step_run_spot_instance.go: a launch template of one build, and a fleet of one instance.
    _call(
        "CreateLaunchTemplate",
        grant("ec2:CreateLaunchTemplate", TEMPLATE, condition=MADE_OURS, when=("spot",)),
        created_tags("CreateLaunchTemplate", TEMPLATE, when=("spot",)),
    ),
    # What a fleet launches, of which template and with which tags, is judged as RunInstances.
    # Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html (CreateFleet), and
    # the policy of Karpenter, which makes such fleets (https://github.com/aws/karpenter-provider-aws,
    # website/content/en/preview/upgrading/v1beta1-controller-policy.json).
    _call(
        "CreateFleet",
        grant("ec2:CreateFleet", when=("spot",)),
        created_tags("CreateFleet", FLEET, INSTANCE, VOLUME, INTERFACE, when=("spot",)),
    ),
    DELETE_TEMPLATE,
    _call("StopInstances", grant("ec2:StopInstances", INSTANCE, condition=BUILDER, when=("on-demand",))),
    _call("TerminateInstances", grant("ec2:TerminateInstances", INSTANCE, condition=BUILDER)),
    # Disks of the base image that the rendered file does not name and that outlive the instance
    # (common/step_cleanup_volumes.go).
    _call("DeleteVolume", grant("ec2:DeleteVolume", VOLUME, condition=BUILDER)),
    _call(
        "CreateImage",
        grant("ec2:CreateImage", INSTANCE, condition=BUILDER),
        grant("ec2:CreateImage", IMAGE, SNAPSHOT, condition=MADE_OURS, when=("image-tags-while-made",)),
        created_tags("CreateImage", IMAGE, SNAPSHOT, when=("image-tags-while-made",)),
        grant("ec2:CreateImage", IMAGE, SNAPSHOT, when=("image-tags-afterwards",)),
    ),
    # No condition says that a thing was made just now; that nobody has named it, one does.
    _call(
        "CreateTags",
        grant("ec2:CreateTags", IMAGE, SNAPSHOT, condition=BECOMES_OURS, when=("image-tags-afterwards",)),
        grant("ec2:CreateTags", INSTANCE, INTERFACE, VOLUME, condition=BECOMES_OURS, when=("tags-afterwards",)),
        grant("ec2:CreateTags", INSTANCE, VOLUME, condition=STAYS_OURS, when=("spot",)),
        grant("ec2:CreateTags", SPOT_REQUEST, condition=BECOMES_OURS, when=("spot",)),
    ),
    # Before the image is tagged.
    _call(
        "ModifyImageAttribute",
        grant("ec2:ModifyImageAttribute", IMAGE, condition=UNNAMED, when=("image-tags-afterwards",)),
    ),
    _call(
        "EnableImageDeprecation",
        grant("ec2:EnableImageDeprecation", IMAGE, condition=UNNAMED, when=("deprecation", "image-tags-afterwards")),
    ),
    _call(
        "StartSession",
        grant(
            "ssm:StartSession",
            INSTANCE,
            # Without the check of the document, access to the instance would open a shell on it
            # (https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-sessiondocumentaccesscheck.html).
            condition={
                "StringEquals": {"ssm:resourceTag/amigen/name": "{name}"},
                "StringLike": {"ssm:resourceTag/amigen/build": "*"},
                "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
            },
            when=("session-manager",),
        ),
        grant("ssm:StartSession", "arn:{p}:ssm:*::document/AWS-StartPortForwardingSession", when=("session-manager",)),
        service="ssm",
    ),
    _call("TerminateSession", grant("ssm:TerminateSession", _SESSION, when=("session-manager",)), service="ssm"),
)
