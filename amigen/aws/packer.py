"""The calls that Packer's amazon-ebs builder makes for `amigen build --target aws`, with the permissions they need.

amigen does not make them itself; they are here so that `amigen iam-policy --for build` can print them.

Source: packer-plugin-amazon 1.8.2 (https://github.com/hashicorp/packer-plugin-amazon), `builder/ebs/builder.go` with
its steps in `common/`, for the options that the rendered file sets. In China (`IsChinaCloud`) nothing is tagged while
it is made; in China and in GovCloud images and snapshots are not (`IsRestricted`): they get their tags afterwards.
A spot instance gets its tags from a launch template, in every partition. tests/publish/test_packer_calls.py records
the calls of the real plugin.
"""

from __future__ import annotations

from amigen.aws import grants as g
from amigen.aws.grants import Call, Condition, Grant, created_tags, grant

_GROUP = "arn:{p}:ec2:*:{a}:security-group/*"
_KEY = "arn:{p}:ec2:*:{a}:key-pair/amigen-*-{name}-*"
_SESSION = "arn:{p}:ssm:*:*:session/${{aws:userid}}-*"


def _call(operation: str, *grants: Grant, service: str = "ec2") -> Call:
    return Call(service=service, operation=operation, purposes=("build",), grants=grants)


def _describe(what: str, *when: str) -> Call:
    return _call(f"Describe{what}", grant(f"ec2:Describe{what}", when=when))


# A temporary group, and how it and the temporary key pair are told apart from those of others: by the tag that they
# are made with, or by having none.
_OWN: tuple[str, ...] = ("temporary-group", "tags-while-made")
_BARE: tuple[str, ...] = ("temporary-group", "untagged-helpers")
DELETE_KEY_PAIR = _call(
    "DeleteKeyPair",
    grant("ec2:DeleteKeyPair", _KEY, condition=g.OURS, when=("tags-while-made",)),
    grant("ec2:DeleteKeyPair", _KEY, condition=g.UNNAMED, when=("untagged-helpers",)),
)
# The temporary instance profile and its role have one name: packer-UUID.
_TEMPORARY_PROFILE, _TEMPORARY_ROLE = "arn:{p}:iam::{a}:instance-profile/packer-*", "arn:{p}:iam::{a}:role/packer-*"
DELETE_TEMPLATE = _call(
    "DeleteLaunchTemplate", grant("ec2:DeleteLaunchTemplate", g.TEMPLATE, condition=g.OURS, when=("spot",))
)
DELETE_GROUP = _call(
    "DeleteSecurityGroup",
    grant("ec2:DeleteSecurityGroup", _GROUP, condition=g.OURS, when=_OWN),
    grant("ec2:DeleteSecurityGroup", _GROUP, condition=g.UNNAMED, when=_BARE),
)


def _on_temporary(operation: str, resource: str, condition: Condition = g.OURS, *, tag: str = "") -> Call:
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
        grant("ec2:CreateSecurityGroup", _GROUP, condition=g.MADE_OURS, when=_OWN),
        created_tags("CreateSecurityGroup", _GROUP, when=_OWN),
        grant("ec2:CreateSecurityGroup", _GROUP, when=_BARE),
    ),
    # Nothing is opened for Session Manager (SkipSSHRuleCreation).
    _call(
        "AuthorizeSecurityGroupIngress",
        grant("ec2:AuthorizeSecurityGroupIngress", _GROUP, condition=g.OURS, when=(*_OWN, "ssh")),
        grant("ec2:AuthorizeSecurityGroupIngress", _GROUP, condition=g.UNNAMED, when=(*_BARE, "ssh")),
    ),
    DELETE_GROUP,
    _call(
        "GetInstanceProfile",
        grant("iam:GetInstanceProfile", *g.BUILDER_PROFILES, when=("builder-profile",)),
        service="iam",
    ),
    # common/step_iam_instance_profile.go
    _on_temporary("CreateInstanceProfile", _TEMPORARY_PROFILE, g.MADE_OURS, tag="TagInstanceProfile"),
    _on_temporary("CreateRole", _TEMPORARY_ROLE, g.MADE_OURS, tag="TagRole"),
    _on_temporary("GetRole", _TEMPORARY_ROLE),
    _on_temporary("PutRolePolicy", _TEMPORARY_ROLE),
    _on_temporary("AddRoleToInstanceProfile", _TEMPORARY_PROFILE),
    _on_temporary("RemoveRoleFromInstanceProfile", _TEMPORARY_PROFILE),
    _on_temporary("DeleteRolePolicy", _TEMPORARY_ROLE),
    _on_temporary("DeleteRole", _TEMPORARY_ROLE),
    _on_temporary("DeleteInstanceProfile", _TEMPORARY_PROFILE),
    _call("RunInstances", *g.BUILDER_LAUNCH),
    # common/step_run_spot_instance.go: a launch template of one build, and a fleet of one instance.
    _call(
        "CreateLaunchTemplate",
        grant("ec2:CreateLaunchTemplate", g.TEMPLATE, condition=g.MADE_OURS, when=("spot",)),
        created_tags("CreateLaunchTemplate", g.TEMPLATE, when=("spot",)),
    ),
    # What a fleet launches, of which template and with which tags, is judged as RunInstances.
    # Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html (CreateFleet), and
    # the policy of Karpenter, which makes such fleets (https://github.com/aws/karpenter-provider-aws,
    # website/content/en/preview/upgrading/v1beta1-controller-policy.json).
    _call(
        "CreateFleet",
        grant("ec2:CreateFleet", when=("spot",)),
        created_tags("CreateFleet", g.FLEET, g.INSTANCE, g.VOLUME, g.INTERFACE, when=("spot",)),
    ),
    DELETE_TEMPLATE,
    _call("StopInstances", grant("ec2:StopInstances", g.INSTANCE, condition=g.BUILDER, when=("on-demand",))),
    _call("TerminateInstances", grant("ec2:TerminateInstances", g.INSTANCE, condition=g.BUILDER)),
    # Disks of the base image that the rendered file does not name and that outlive the instance
    # (common/step_cleanup_volumes.go).
    _call("DeleteVolume", grant("ec2:DeleteVolume", g.VOLUME, condition=g.BUILDER)),
    _call(
        "CreateImage",
        grant("ec2:CreateImage", g.INSTANCE, condition=g.BUILDER),
        grant("ec2:CreateImage", g.IMAGE, g.SNAPSHOT, condition=g.MADE_OURS, when=("image-tags-while-made",)),
        created_tags("CreateImage", g.IMAGE, g.SNAPSHOT, when=("image-tags-while-made",)),
        grant("ec2:CreateImage", g.IMAGE, g.SNAPSHOT, when=("image-tags-afterwards",)),
    ),
    # No condition says that a thing was made just now; that nobody has named it, one does.
    _call(
        "CreateTags",
        grant("ec2:CreateTags", g.IMAGE, g.SNAPSHOT, condition=g.BECOMES_OURS, when=("image-tags-afterwards",)),
        grant("ec2:CreateTags", g.INSTANCE, g.INTERFACE, g.VOLUME, condition=g.BECOMES_OURS, when=("tags-afterwards",)),
        grant("ec2:CreateTags", g.INSTANCE, g.VOLUME, condition=g.STAYS_OURS, when=("spot",)),
        grant("ec2:CreateTags", g.SPOT_REQUEST, condition=g.BECOMES_OURS, when=("spot",)),
    ),
    # Before the image is tagged.
    _call(
        "ModifyImageAttribute",
        grant("ec2:ModifyImageAttribute", g.IMAGE, condition=g.UNNAMED, when=("image-tags-afterwards",)),
    ),
    _call(
        "EnableImageDeprecation",
        grant(
            "ec2:EnableImageDeprecation", g.IMAGE, condition=g.UNNAMED, when=("deprecation", "image-tags-afterwards")
        ),
    ),
    _call(
        "StartSession",
        grant(
            "ssm:StartSession",
            g.INSTANCE,
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
