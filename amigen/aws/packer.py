"""The calls that Packer's amazon-ebs builder makes for `amigen build --target aws`, with the permissions they need.

amigen does not make them itself; they are here so that `amigen iam-policy --for build` can print them.

Source: packer-plugin-amazon 1.8.2 (https://github.com/hashicorp/packer-plugin-amazon), `builder/ebs/builder.go` with
its steps in `common/`, for the options that the rendered file sets. In China (`IsChinaCloud`) nothing is tagged while
it is made; in China and in GovCloud images and snapshots are not (`IsRestricted`): they get their tags afterwards.
A spot instance gets its tags from a launch template, in every partition. tests/publish/test_packer_calls.py records
the calls of the real plugin.
"""

from __future__ import annotations

from dataclasses import replace

from amigen.aws import grants as g
from amigen.aws.grants import Call, Condition, Grant, created_tags, grant

_GROUP = "arn:{p}:ec2:*:{a}:security-group/*"
_KEY = "arn:{p}:ec2:*:{a}:key-pair/amigen-*-{name}-*"
_SESSION = "arn:{p}:ssm:*:*:session/${{aws:userid}}-*"


def _on(*resources: str, condition: Condition | None = None, when: tuple[str, ...] = ()) -> Grant:
    """The permission of the call that it stands in."""
    return grant("", *resources, condition=condition, when=when)


def _call(operation: str, *grants: Grant, service: str = "ec2") -> Call:
    named = tuple(replace(each, action=each.action or f"{service}:{operation}") for each in grants)
    return Call(service=service, operation=operation, purposes=("build",), grants=named)


def _describe(what: str, *when: str) -> Call:
    return _call(f"Describe{what}", _on(when=when))


def _helper(operation: str, resource: str, *when: str) -> Call:
    """A call on a temporary group or key pair: told apart from others by the tag it is made with, or by having none."""
    own = _on(resource, condition=g.OURS, when=(*when, "tags-while-made"))
    return _call(operation, own, _on(resource, condition=g.UNNAMED, when=(*when, "untagged-helpers")))


DELETE_KEY_PAIR = _helper("DeleteKeyPair", _KEY)
DELETE_GROUP = _helper("DeleteSecurityGroup", _GROUP, "temporary-group")
# The temporary instance profile and its role have one name: packer-UUID.
_TEMPORARY_PROFILE, _TEMPORARY_ROLE = "arn:{p}:iam::{a}:instance-profile/packer-*", "arn:{p}:iam::{a}:role/packer-*"
DELETE_TEMPLATE = _call("DeleteLaunchTemplate", _on(g.TEMPLATE, condition=g.OURS, when=("spot",)))


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
    _call("CreateKeyPair", _on(_KEY), created_tags("CreateKeyPair", _KEY, when=("tags-while-made",))),
    DELETE_KEY_PAIR,
    _call(
        "CreateSecurityGroup",
        _on("arn:{p}:ec2:*:{a}:vpc/*", when=("temporary-group",)),
        _on(_GROUP, condition=g.MADE_OURS, when=("temporary-group", "tags-while-made")),
        created_tags("CreateSecurityGroup", _GROUP, when=("temporary-group", "tags-while-made")),
        _on(_GROUP, when=("temporary-group", "untagged-helpers")),
    ),
    # Nothing is opened for Session Manager (SkipSSHRuleCreation).
    _helper("AuthorizeSecurityGroupIngress", _GROUP, "temporary-group", "ssh"),
    DELETE_GROUP,
    _call("GetInstanceProfile", _on(*g.BUILDER_PROFILES, when=("builder-profile",)), service="iam"),
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
        _on(g.TEMPLATE, condition=g.MADE_OURS, when=("spot",)),
        created_tags("CreateLaunchTemplate", g.TEMPLATE, when=("spot",)),
    ),
    # What a fleet launches, of which template and with which tags, is judged as RunInstances.
    # Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html (CreateFleet), and
    # the policy of Karpenter, which makes such fleets (https://github.com/aws/karpenter-provider-aws,
    # website/content/en/preview/upgrading/v1beta1-controller-policy.json).
    _call(
        "CreateFleet",
        _on(when=("spot",)),
        created_tags("CreateFleet", g.FLEET, g.INSTANCE, g.VOLUME, g.INTERFACE, when=("spot",)),
    ),
    DELETE_TEMPLATE,
    _call("StopInstances", _on(g.INSTANCE, condition=g.BUILDER, when=("on-demand",))),
    _call("TerminateInstances", _on(g.INSTANCE, condition=g.BUILDER)),
    # Disks of the base image that the rendered file does not name and that outlive the instance
    # (common/step_cleanup_volumes.go).
    _call("DeleteVolume", _on(g.VOLUME, condition=g.BUILDER)),
    _call(
        "CreateImage",
        _on(g.INSTANCE, condition=g.BUILDER),
        _on(g.IMAGE, g.SNAPSHOT, condition=g.MADE_OURS, when=("image-tags-while-made",)),
        created_tags("CreateImage", g.IMAGE, g.SNAPSHOT, when=("image-tags-while-made",)),
        _on(g.IMAGE, g.SNAPSHOT, when=("image-tags-afterwards",)),
    ),
    # No condition says that a thing was made just now; that nobody has named it, one does.
    _call(
        "CreateTags",
        _on(g.IMAGE, g.SNAPSHOT, condition=g.BECOMES_OURS, when=("image-tags-afterwards",)),
        _on(g.INSTANCE, g.INTERFACE, g.VOLUME, condition=g.BECOMES_OURS, when=("tags-afterwards",)),
        _on(g.INSTANCE, g.VOLUME, condition=g.STAYS_OURS, when=("spot",)),
        _on(g.SPOT_REQUEST, condition=g.BECOMES_OURS, when=("spot",)),
    ),
    # Before the image is tagged.
    _call("ModifyImageAttribute", _on(g.IMAGE, condition=g.UNNAMED, when=("image-tags-afterwards",))),
    _call("EnableImageDeprecation", _on(g.IMAGE, condition=g.UNNAMED, when=("deprecation", "image-tags-afterwards"))),
    _call(
        "StartSession",
        _on(
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
        _on("arn:{p}:ssm:*::document/AWS-StartPortForwardingSession", when=("session-manager",)),
        service="ssm",
    ),
    _call("TerminateSession", _on(_SESSION, when=("session-manager",)), service="ssm"),
)
