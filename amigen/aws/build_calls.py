"""The AWS calls that a build makes by itself, besides those of Packer: in the form of `amigen.aws.calls`."""

from __future__ import annotations

from amigen.aws.grants import BUILDER, IMAGE, INSTANCE, OURS, SNAPSHOT, Call, Condition, Grant, Need
from amigen.aws.packer import REMOVE_GROUP, REMOVE_KEY_PAIR, REMOVE_TEMPLATE


def _call(operation: str, *resources: str, condition: Condition | None = None, when: tuple[Need, ...] = ()) -> Call:
    grant = Grant(action=f"ec2:{operation}", resources=resources or ("*",), condition=condition or {}, when=when)
    return Call(service="ec2", operation=operation, purposes=("build",), grants=(grant,))


# Needs no permission (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
WHO_AM_I = Call(service="sts", operation="GetCallerIdentity", purposes=("build",), grants=())
DESCRIBE_INSTANCES = _call("DescribeInstances")
DESCRIBE_IMAGES = _call("DescribeImages")
DESCRIBE_SECURITY_GROUPS = _call("DescribeSecurityGroups")
DESCRIBE_KEY_PAIRS = _call("DescribeKeyPairs")
DESCRIBE_SUBNETS = _call("DescribeSubnets", when=("find-subnet",))
GET_CONSOLE_OUTPUT = _call("GetConsoleOutput", INSTANCE, condition=BUILDER, when=("console",))
# Only after a build that was killed and could not clean up by itself.
TERMINATE = _call("TerminateInstances", INSTANCE, condition=BUILDER)
DELETE_KEY_PAIR = Call(service="ec2", operation="DeleteKeyPair", purposes=("build",), grants=REMOVE_KEY_PAIR)
DELETE_SECURITY_GROUP = Call(service="ec2", operation="DeleteSecurityGroup", purposes=("build",), grants=REMOVE_GROUP)
DESCRIBE_TEMPLATES = _call("DescribeLaunchTemplates", when=("spot",))
DELETE_TEMPLATE = Call(service="ec2", operation="DeleteLaunchTemplate", purposes=("build",), grants=REMOVE_TEMPLATE)
DEREGISTER = _call("DeregisterImage", IMAGE, condition=OURS)
DELETE_SNAPSHOT = _call("DeleteSnapshot", SNAPSHOT, condition=OURS)

ALL = tuple(value for value in vars().values() if isinstance(value, Call))
