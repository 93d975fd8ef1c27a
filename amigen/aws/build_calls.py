"""The AWS calls that a build makes by itself, besides those of Packer: in the form of `amigen.aws.calls`."""

from __future__ import annotations

from amigen.aws import packer
from amigen.aws.grants import BUILDER, IMAGE, INSTANCE, OURS, SNAPSHOT, Call, call

# Needs no permission (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
WHO_AM_I = Call(service="sts", operation="GetCallerIdentity", purposes=("build",), grants=())
DESCRIBE_INSTANCES = call("ec2", "DescribeInstances", "build")
DESCRIBE_IMAGES = call("ec2", "DescribeImages", "build")
DESCRIBE_SECURITY_GROUPS = call("ec2", "DescribeSecurityGroups", "build")
DESCRIBE_KEY_PAIRS = call("ec2", "DescribeKeyPairs", "build")
DESCRIBE_SUBNETS = call("ec2", "DescribeSubnets", "build", when=("find-subnet",))
GET_CONSOLE_OUTPUT = call("ec2", "GetConsoleOutput", "build", on=(INSTANCE,), condition=BUILDER, when=("console",))
# Only after a build that was killed and could not clean up by itself.
TERMINATE = call("ec2", "TerminateInstances", "build", on=(INSTANCE,), condition=BUILDER)
DELETE_KEY_PAIR, DELETE_SECURITY_GROUP = packer.DELETE_KEY_PAIR, packer.DELETE_GROUP
DESCRIBE_TEMPLATES = call("ec2", "DescribeLaunchTemplates", "build", when=("spot",))
DELETE_TEMPLATE = packer.DELETE_TEMPLATE
DEREGISTER = call("ec2", "DeregisterImage", "build", on=(IMAGE,), condition=OURS)
DELETE_SNAPSHOT = call("ec2", "DeleteSnapshot", "build", on=(SNAPSHOT,), condition=OURS)

ALL = tuple(value for value in vars().values() if isinstance(value, Call))
