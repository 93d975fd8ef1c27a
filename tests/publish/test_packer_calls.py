"""Every AWS call of the real Packer and its amazon plugin is recorded, for each partition and option of the spec: the
policy of `amigen iam-policy --for build` allows each of them, and nothing else.

The builder is told not to connect, and moto stands in for AWS. This proves which calls the plugin makes; what IAM asks
for each of them is written in `tests.publish.authority`, from the Service Authorization Reference.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from amigen.aws.build_calls import ALL
from amigen.aws.calls import CALLS
from amigen.publish.policy import LIMIT, Scope, policy, size
from amigen.spec.load import load_spec
from tests.publish.authority import ACCOUNT, Authority
from tests.publish.packer_build import packer_build
from tests.publish.stand_in import moto
from tests.publish.stand_in.gateway import Gateway
from tests.publish.world import KEYS

pytestmark = pytest.mark.slow
# Commercial, GovCloud, China.
PARTITIONS = ("eu-central-1", "us-gov-west-1", "cn-north-1")
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: web
kubernetesVersion: "1.34"
platforms: [ubuntu-24.04]
architectures: [x86_64]
aws:
  region: {region}
  sourceAmis: {{ubuntu-24.04: {{id: {base}}}}}
  encryption: {{enabled: false}}
"""
POLICY = "instanceProfilePolicy: [{actions: ['ssm:UpdateInstanceInformation'], resources: ['*']}]"
SPOT = "spot: {instanceTypes: {x86_64: [t3.medium, m7i.large]}}"
OPTIONS: dict[str, str] = {
    "nothing set": "",
    "profile, deprecation": "iamInstanceProfile: builder\ndeprecateAfterDays: 9",
    "subnet, public address": "subnetId: SUBNET\nassociatePublicIp: true",
    "subnet, no public address": "subnetId: SUBNET\nassociatePublicIp: false",
    "public address without a subnet": "associatePublicIp: true",
    "no public address, a VPC": "associatePublicIp: false\nvpcId: VPC",
    "VPC": "vpcId: VPC",
    "groups": "securityGroupIds: [GROUP]",
    "filters": "builder: {vpcFilter: {is-default: 'true'}, subnetFilter: {vpc-id: VPC},"
    " securityGroupFilter: {group-name: default}}",
    "subnet by a filter": "builder: {subnetFilter: {vpc-id: VPC}}\nassociatePublicIp: true",
    "IPv6": "subnetId: SUBNET\nbuilder: {sshInterface: ipv6}",
    "any host key": "builder: {acceptAnyHostKey: true}",
    "Session Manager": "communicator: session-manager\niamInstanceProfile: builder",
    "Session Manager, subnet": "communicator: session-manager\niamInstanceProfile: builder\nsubnetId: SUBNET",
    "Session Manager, temporary profile": f"communicator: session-manager\nbuilder: {{{POLICY}}}",
    "temporary profile": f"builder: {{{POLICY}}}",
    "spot": "builder: {spot: {}}",
    "spot, public address": f"associatePublicIp: true\nbuilder: {{{SPOT}}}",
    "spot, temporary profile, subnet": f"subnetId: SUBNET\nbuilder: {{{SPOT}, {POLICY}}}",
}
# Packer deletes a volume only where the instance that it belongs to could not be terminated with it.
NOT_SEEN = {"ec2:DeleteVolume"}


@functools.cache
def made_by_amigen() -> frozenset[str]:
    """Actions of the calls that amigen makes itself in a build, before Packer and after it."""
    calls = (call for call in (*CALLS, *ALL) if "build" in call.purposes)
    return frozenset(grant.action for call in calls for grant in call.grants)


@pytest.fixture
def gateway(
    moto_url: str, shared_gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", shared_gateway.url)
    # Ends as the tunnel does when the builder reboots: Packer then ends the session and begins another one.
    plugin = tmp_path / "bin/session-manager-plugin"
    plugin.parent.mkdir()
    plugin.write_text("#!/bin/sh\nsleep 2.5\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", f"{plugin.parent}{os.pathsep}{os.environ['PATH']}")
    moto.reset(moto_url)
    shared_gateway.reset()
    yield shared_gateway
    assert shared_gateway.broken == []


def prepared(gateway: Gateway, region: str, options: str, folder: Path) -> Path:
    """A spec whose base image, network and profile are there."""

    def client(service: str) -> Any:
        return boto3.client(service, region_name=region, endpoint_url=gateway.moto)

    ec2 = client("ec2")
    client("iam").create_instance_profile(InstanceProfileName="builder")
    instance = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    base = ec2.create_image(InstanceId=instance, Name="base")["ImageId"]
    ec2.terminate_instances(InstanceIds=[instance])
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    for word, value in (("SUBNET", subnet), ("VPC", vpc), ("GROUP", group)):
        options = options.replace(word, value)
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(region=region, base=base) + "".join(f"  {line}\n" for line in options.splitlines()))
    return path


@pytest.mark.parametrize("region", PARTITIONS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_build_may_do_what_packer_does_and_no_more(
    region: str, options: str, gateway: Gateway, tmp_path: Path
) -> None:
    spec = prepared(gateway, region, options, tmp_path)
    document = policy(load_spec(spec), ["build"], Scope(account=ACCOUNT))
    authority = Authority(document, gateway)
    gateway.authority = authority
    # Time for a session to begin, to be looked at every 2 s, and to end.
    gateway.before = lambda call: time.sleep(4) if call.operation == "StopInstances" and "session" in options else None

    done = packer_build(spec, tmp_path / "out", endpoint_url=gateway.url)

    gateway.authority = None
    assert done.returncode == 0, done.stdout + done.stderr
    # Packer goes on after some refusals, such as of removing what it has made.
    assert "not authorized" not in done.stdout
    unused = {action for _, action in authority.unused}
    assert unused - made_by_amigen() <= NOT_SEEN
    assert size(document) <= (2 * LIMIT if POLICY in options else LIMIT)
