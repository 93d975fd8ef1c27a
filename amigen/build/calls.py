"""The AWS calls that a build makes by itself, besides those of Packer: in the form of `amigen.aws.calls`."""

from __future__ import annotations

from amigen.aws.grants import BUILDER, OURS, Call, Condition, Grant


def _call(operation: str, *resources: str, condition: Condition | None = None) -> Call:
    grant = Grant(action=f"ec2:{operation}", resources=resources or ("*",), condition=condition or {})
    return Call(service="ec2", operation=operation, purposes=("build",), grants=(grant,))


# Needs no permission (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
WHO_AM_I = Call(service="sts", operation="GetCallerIdentity", purposes=("build",), grants=())
DESCRIBE_INSTANCES = _call("DescribeInstances")
DESCRIBE_IMAGES = _call("DescribeImages")
DESCRIBE_SECURITY_GROUPS = _call("DescribeSecurityGroups")
DESCRIBE_KEY_PAIRS = _call("DescribeKeyPairs")
# Only with Packer 1.6, which knows neither metadata_options nor imds_support.
REQUIRE_IMDSV2 = _call("ModifyInstanceMetadataOptions", "arn:{p}:ec2:*:{a}:instance/*", condition=BUILDER)
REQUIRE_IMDSV2_OF_IMAGE = _call("ModifyImageAttribute", "arn:{p}:ec2:*::image/*", condition=OURS)
# Only after a build that was killed and could not clean up by itself.
TERMINATE = _call("TerminateInstances", "arn:{p}:ec2:*:{a}:instance/*", condition=BUILDER)
DELETE_KEY_PAIR = _call("DeleteKeyPair", "arn:{p}:ec2:*:{a}:key-pair/amigen-*")
DELETE_SECURITY_GROUP = _call("DeleteSecurityGroup", "arn:{p}:ec2:*:{a}:security-group/*")
DEREGISTER = _call("DeregisterImage", "arn:{p}:ec2:*::image/*", condition=OURS)
DELETE_SNAPSHOT = _call("DeleteSnapshot", "arn:{p}:ec2:*::snapshot/*", condition=OURS)

ALL = tuple(value for value in vars().values() if isinstance(value, Call))
