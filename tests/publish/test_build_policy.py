"""`amigen iam-policy --for build`: the real amazon-ebs builder works under the printed policy, and needs all of it.

The builder is told not to connect (`communicator = "none"`), so that moto's instances, which are records, suffice.
`tests/build/test_aws_build.py` runs the whole build.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from amigen.aws.session import Aws, AwsOptions
from amigen.build.host_key import write_known_hosts
from amigen.build.leftovers import remove_build
from tests.publish.authority import Authority
from tests.publish.packer_build import packer_build
from tests.publish.world import BUILD_REGION, World

SPEC = """\
iamInstanceProfile: node
builder: {spot: {}}
encryption: {enabled: false}
share:
  accounts: ["111122223333"]
deprecateAfterDays: 365"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICljv3VQKmBTmjtTB4KBLJwUN92lvyqUuOsJqO1lnnF2"
# Packer deletes a volume only where the instance that it belongs to could not be terminated with it.
NOT_SEEN = {"ec2:DeleteVolume"}


def policy(world: World, *more: str) -> dict[str, Any]:
    result = world.amigen("iam-policy", "--for", "build", *more)
    assert result.code == 0, result.err
    document: dict[str, Any] = result.json
    return document


def build(world: World, source: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"source_ami_x86_64": source, "endpoint_url": world.gateway.url, **variables}
    return packer_build(world.spec_path, world.folder / "rendered", **given)


def public_base(world: World) -> str:
    """An AMI that the public parameter of the platform names; Packer's data source always asks for it."""
    base = world.make_image("base", {})
    world.gateway.model.public_parameters[
        BUILD_REGION, "/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"
    ] = base
    return base


def leave_something(world: World) -> None:
    """What a build that was killed leaves: an instance, a group, a key pair, an image."""
    ec2 = world.client("ec2")
    tags = [{"Key": "amigen/build", "Value": "b1"}, {"Key": "amigen/name", "Value": "ipvs-nodes"}]

    def tagged(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags}]

    ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tagged("instance"))
    ec2.create_security_group(GroupName="packer_b1", Description="x", TagSpecifications=tagged("security-group"))
    data = {"ImageId": "ami-12345678"}
    kind = tagged("launch-template")
    ec2.create_launch_template(LaunchTemplateName="packer-fleet-1", LaunchTemplateData=data, TagSpecifications=kind)
    ec2.create_key_pair(KeyName="amigen-b1-ipvs-nodes-al2023-x86_64", TagSpecifications=tagged("key-pair"))
    image = world.make_image("half-done", {tag["Key"]: tag["Value"] for tag in tags})
    found = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.create_tags(Resources=[found], Tags=tags)


def leftover(world: World) -> list[str]:
    """Instances that are ours and alive."""
    alive = [{"Name": "tag:amigen/build", "Values": ["b1"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    found = world.client("ec2").describe_instances(Filters=alive)["Reservations"]
    return [instance["InstanceId"] for reservation in found for instance in reservation["Instances"]]


def test_a_build_needs_what_the_policy_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packer's calls, those that amigen makes beside it, those after it, and the clean-up after a killed one."""
    monkeypatch.setattr("amigen.build.host_key._POLL_SECONDS", 0.0)
    monkeypatch.setattr("amigen.build.leftovers._POLL_SECONDS", 0.0)
    world.client("iam").create_instance_profile(InstanceProfileName="node")
    world.write_spec(SPEC)
    base = public_base(world)
    leave_something(world)
    authority = Authority(policy(world), world.gateway)
    world.gateway.authority = authority
    aws = Aws(AwsOptions(endpoint_url=world.gateway.url))

    assert world.amigen("images", "base").code == 0
    done = build(world, base)
    assert done.returncode == 0, done.stdout + done.stderr
    [builder] = leftover(world)
    (world.folder / "console").write_text(
        f"-----BEGIN SSH HOST KEY KEYS-----\r\n{KEY} x\r\n-----END SSH HOST KEY KEYS-----"
    )
    world.gateway.model.consoles[builder] = world.folder / "console"
    write_known_hosts(aws, BUILD_REGION, builder, world.folder / "known_hosts")
    assert (world.folder / "known_hosts").read_text() == f"builder {KEY}\n"
    removed = remove_build(aws, BUILD_REGION, "b1", spot=True)
    assert {each.split("-")[0] for each in removed} == {"i", "sg", "amigen", "ami", "snap", "lt"}
    _publish_images(world)

    unused = {action for _, action in authority.unused}
    assert unused == NOT_SEEN


def _publish_images(world: World) -> None:
    """What a build does with its proven images, by the code of publish; a copy fails once."""
    world.build()
    world.gateway.gaps.failing_regions = {"eu-west-1"}
    command = ("publish", "--images-only", "--record", str(world.record_path), "--yes", "--poll", "0")
    assert world.amigen(*command).code == 10
    world.gateway.gaps.failing_regions = set()
    world.gateway.gaps.encrypted |= {
        i["ImageId"] for i in world.client("ec2").describe_images(Owners=["self"])["Images"]
    }
    result = world.amigen(*command)
    assert result.code == 0, result.err


def test_the_policy_of_a_build_asks_only_for_what_the_spec_uses(world: World) -> None:
    world.write_spec("encryption: {enabled: false}")
    plain = json.dumps(policy(world))
    world.write_spec(
        "iamInstanceProfile: node\ncommunicator: session-manager\nsubnetId: subnet-0123456789abcdef0\n"
        "vpcId: vpc-0123456789abcdef0\nencryption: {kmsKeyId: alias/images}\ndeprecateAfterDays: 9"
    )
    whole = json.dumps(policy(world))

    for action in (
        "ssm:StartSession",
        "ssm:TerminateSession",
        "ec2:DescribeSubnets",
        "kms:CreateGrant",
        "iam:PassRole",
    ):
        assert action not in plain
        assert action in whole
    assert "session/${aws:userid}-*" in whole
    assert len(json.dumps(json.loads(whole), separators=(",", ":"))) <= 6144


def test_a_build_that_may_not_launch_is_told_by_packer(world: World) -> None:
    """The policy is in force: without one of its actions the builder is refused."""
    world.client("iam").create_instance_profile(InstanceProfileName="node")
    world.write_spec(SPEC.replace("builder: {spot: {}}\n", ""))
    base = public_base(world)
    document = policy(world)
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != "ec2:RunInstances"]
    world.gateway.authority = Authority(document, world.gateway)

    done = build(world, base, offline="true")

    assert done.returncode != 0
    assert "Error launching source instance" in done.stdout
    assert "ec2:RunInstances" in done.stdout
