"""The calls that Packer's amazon-ebs builder makes for `amigen build --target aws`, with the permissions they need.

amigen does not make them itself; they are here so that `amigen iam-policy --for build` can print them. Sources: what
the builder was seen to call (tests/publish/test_build_policy.py), and for what only Packer 1.7 and later does
https://developer.hashicorp.com/packer/integrations/hashicorp/amazon (IAM task or instance role; Session Manager).
"""

from __future__ import annotations

from amigen.aws.grants import (
    BECOMES_OURS,
    BUILDER,
    NOBODYS,
    Call,
    Condition,
    Grant,
    Need,
    created_tags,
    launch_grants,
)

_INSTANCE = "arn:{p}:ec2:*:{a}:instance/*"
_GROUP = "arn:{p}:ec2:*:{a}:security-group/*"
_KEY = "arn:{p}:ec2:*:{a}:key-pair/amigen-*"
_MADE = ("arn:{p}:ec2:*::image/*", "arn:{p}:ec2:*::snapshot/*")
_SESSION = "arn:{p}:ssm:*:*:session/${{aws:userid}}-*"


def _call(
    operation: str,
    *resources: str,
    service: str = "ec2",
    condition: Condition | None = None,
    when: Need = "always",
    also: tuple[Grant, ...] = (),
) -> Call:
    grant = Grant(action=f"{service}:{operation}", resources=resources or ("*",), condition=condition or {}, when=when)
    return Call(service=service, operation=operation, purposes=("build",), grants=(grant, *also))


PACKER_CALLS: tuple[Call, ...] = (
    *(_call(f"Describe{what}") for what in ("Regions", "SecurityGroups", "Volumes", "Instances")),
    _call("DescribeInstanceStatus"),  # from Packer 1.7 on
    *(_call(f"Describe{what}", when="network") for what in ("Vpcs", "Subnets")),
    # Temporary, and told apart by the name that the rendered file gives; they carry tags from Packer 1.7 on.
    _call("CreateKeyPair", _KEY, also=(created_tags("CreateKeyPair", _KEY),)),
    _call("DeleteKeyPair", _KEY),
    _call(
        "CreateSecurityGroup",
        _GROUP,
        "arn:{p}:ec2:*:{a}:vpc/*",
        also=(created_tags("CreateSecurityGroup", _GROUP),),
    ),
    _call("AuthorizeSecurityGroupIngress", _GROUP),
    _call("DeleteSecurityGroup", _GROUP),
    _call("GetInstanceProfile", "arn:{p}:iam::{a}:instance-profile/*", service="iam", when="instance-profile"),
    Call(service="ec2", operation="RunInstances", purposes=("build",), grants=launch_grants()),
    _call("StopInstances", _INSTANCE, condition=BUILDER),
    _call("TerminateInstances", _INSTANCE, condition=BUILDER),
    _call(
        "CreateImage",
        _INSTANCE,
        condition=BUILDER,
        also=(Grant(action="ec2:CreateImage", resources=_MADE), created_tags("CreateImage", *_MADE)),
    ),
    # Packer 1.6, and every Packer in China and GovCloud, tags only what it has made already (step_create_ami.go of
    # packer-plugin-amazon: `IsRestricted`). No condition says that it was made just now; that it is nobody's, one does.
    _call("CreateTags", *_MADE, condition=BECOMES_OURS),
    # Before Packer 1.6 tags the image.
    _call("ModifyImageAttribute", _MADE[0], condition=NOBODYS),
    _call("EnableImageDeprecation", _MADE[0], condition=NOBODYS, when="deprecation"),  # from Packer 1.7 on
    _call(
        "StartSession",
        _INSTANCE,
        service="ssm",
        condition={"StringEquals": {"ssm:resourceTag/amigen/name": "{name}"}},
        when="session-manager",
        also=(
            Grant(
                action="ssm:StartSession",
                resources=("arn:{p}:ssm:*::document/AWS-StartPortForwardingSession",),
                when="session-manager",
            ),
        ),
    ),
    _call("TerminateSession", _SESSION, service="ssm", when="session-manager"),
)
