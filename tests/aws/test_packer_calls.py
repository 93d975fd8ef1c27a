"""`amigen iam-policy --for build` allows every call of packer-plugin-amazon 1.8.2, per partition and option.

The calls are written down from the plugin's source (https://github.com/hashicorp/packer-plugin-amazon, builder/ebs/
builder.go and common/step_*.go): this proves that the policy fits them, and not that the plugin makes no others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from amigen.publish.policy import Scope, policy
from amigen.spec.load import load_spec
from amigen.spec.model import NodeImage
from tests.publish.authority import ACCOUNT, Authority, needs
from tests.publish.stand_in.wire import Request

_PARTITIONS = ("eu-central-1", "us-gov-west-1", "cn-north-1")
_SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: web
kubernetesVersion: "1.34"
platforms: [ubuntu-24.04]
architectures: [x86_64]
kubeProxy: {{mode: ipvs}}
aws:
  region: {region}
  sourceAmis: {{ubuntu-24.04: {{id: ami-0123456789abcdef0}}}}
{aws}"""
_OURS = {"amigen/name": "web", "amigen/build": "b1", "amigen/platform": "ubuntu-24.04"}
_OTHERS = {"amigen/name": "webshop", "amigen/build": "b1"}


@dataclass(kw_only=True)
class Account:
    """Tags of things, as they are when a call is made."""

    customer_key: str = ""
    things: dict[str, dict[str, str]] = field(default_factory=dict)

    def tags(self, region: str, resource: str) -> dict[str, str]:
        return self.things.get(resource, {})

    def template_data(self, region: str, template: str, version: str) -> dict[str, Any]:
        return {}


def spec(tmp_path: Path, region: str, **aws: str) -> NodeImage:
    path = tmp_path / "spec.yaml"
    lines = "".join(f"  {key}: {value}\n" for key, value in aws.items())
    path.write_text(_SPEC.format(region=region, aws=lines))
    return load_spec(path)


def builder_calls(spec: NodeImage, account: Account) -> Iterator[Request]:
    """What the plugin calls for our template, with the tags that things have by then."""
    aws = spec.aws
    china, gov = aws.region.startswith("cn-"), aws.region.startswith("us-gov-")

    def call(operation: str, service: str = "ec2", **params: Any) -> Request:
        return Request(service=service, operation=operation, region=aws.region, params=params)

    def tagged(*kinds: str, unless: bool = False) -> dict[str, Any]:
        tags = [{"Key": key, "Value": value} for key, value in _OURS.items()]
        return {} if unless else {"TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds]}

    def tag_afterwards(*resources: str) -> Request:
        return call("CreateTags", Resources=list(resources), Tags=[{"Key": k, "Value": v} for k, v in _OURS.items()])

    yield call("DescribeRegions")
    # step_pre_validate.go, step_network_info.go
    if aws.builder.vpc_filter or (aws.vpc_id and not (aws.subnet_id or aws.builder.subnet_filter)):
        yield call("DescribeVpcs")
    yield call("DescribeImages")
    # step_network_info.go
    if aws.builder.subnet_filter:
        yield call("DescribeSubnets")
    elif aws.associate_public_ip is not None and not aws.subnet_id:
        if not aws.vpc_id:
            yield call("DescribeVpcs")
        yield from (call("DescribeSubnets"), call("DescribeInstanceTypeOfferings"))
    if aws.subnet_id:
        yield call("DescribeSubnets")
    pair = "amigen-b1-web-ubuntu-24.04-x86_64"
    yield call("CreateKeyPair", KeyName=pair, **tagged("key-pair", unless=china))
    account.things[f"key-pair/{pair}"] = {} if china else _OURS
    yield call("DescribeSecurityGroups")
    temporary = not (aws.security_group_ids or aws.builder.security_group_filter)
    if temporary:
        yield call("CreateSecurityGroup", **tagged("security-group", unless=china))
        account.things["sg-1"] = {} if china else _OURS
        if aws.communicator != "session-manager":
            yield call("AuthorizeSecurityGroupIngress", GroupId="sg-1")
    profile = {"Name": aws.iam_instance_profile} if aws.iam_instance_profile else {}
    if profile:
        yield call("GetInstanceProfile", "iam", InstanceProfileName=profile["Name"])
    launched = tagged("instance", "network-interface", "volume", unless=china)
    yield call("RunInstances", IamInstanceProfile=profile, **launched)
    yield call("DescribeInstances")
    made = ("i-1", "eni-1", "vol-1", "vol-2")
    account.things |= dict.fromkeys(made, {} if china else _OURS)
    if china:
        yield from (tag_afterwards("i-1"), tag_afterwards("eni-1"), tag_afterwards("vol-1", "vol-2"))
        account.things |= dict.fromkeys(made, _OURS)
    if aws.communicator == "session-manager":
        yield call("StartSession", "ssm", Target="i-1", DocumentName="AWS-StartPortForwardingSession")
        yield call("DescribeInstanceStatus")
        # The id begins with aws:userid, which the evaluation does not fill in.
        yield call("TerminateSession", "ssm", SessionId="${aws:userid}-1")
    yield call("StopInstances", InstanceIds=["i-1"])
    late = china or gov
    yield call("CreateImage", InstanceId="i-1", **tagged("image", "snapshot", unless=late))
    account.things |= {"ami-1": {} if late else _OURS, "snap-1": {} if late else _OURS}
    if aws.deprecate_after_days:
        yield call("EnableImageDeprecation", ImageId="ami-1")
    yield call("ModifyImageAttribute", ImageId="ami-1")
    yield tag_afterwards("ami-1", "snap-1")
    account.things |= {"ami-1": _OURS, "snap-1": _OURS}
    yield call("TerminateInstances", InstanceIds=["i-1"])
    yield call("DescribeVolumes")
    yield call("DeleteVolume", VolumeId="vol-2")
    if temporary:
        yield call("DeleteSecurityGroup", GroupId="sg-1")
    yield call("DeleteKeyPair", KeyName=pair)
    # Cleanup of step_create_ami.go, where something failed after that
    yield from (call("DeregisterImage", ImageId="ami-1"), call("DeleteSnapshot", SnapshotId="snap-1"))


_OPTIONS: dict[str, dict[str, str]] = {
    "nothing set": {},
    "profile": {"iamInstanceProfile": "builder", "deprecateAfterDays": "9"},
    "subnet": {"subnetId": "subnet-0123456789abcdef0", "associatePublicIp": "true"},
    "public address without a subnet": {"associatePublicIp": "true"},
    "no public address, a VPC": {"associatePublicIp": "false", "vpcId": "vpc-0123456789abcdef0"},
    "VPC": {"vpcId": "vpc-0123456789abcdef0"},
    "own groups": {"securityGroupIds": "[sg-0123456789abcdef0]"},
    "filters": {
        "builder": "{vpcFilter: {is-default: 'false'}, subnetFilter: {'tag:a': b}, securityGroupFilter: {'tag:a': b}}"
    },
    "subnet by a filter": {"builder": "{subnetFilter: {'tag:a': b}}", "associatePublicIp": "true"},
    "Session Manager": {"communicator": "session-manager", "iamInstanceProfile": "builder"},
}


@pytest.mark.parametrize("region", _PARTITIONS)
@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_the_builder_may_do_what_it_does(tmp_path: Path, region: str, options: dict[str, str]) -> None:
    image, account = spec(tmp_path, region, **options), Account()
    authority = Authority(policy(image, ["build"], Scope(account=ACCOUNT)), account)

    refused = [
        (request.operation, need)
        for request in builder_calls(image, account)
        for need in needs(request, account)
        if not authority.allows(need)
    ]

    assert refused == []


@functools.cache
def _always_needed() -> frozenset[str]:
    """What amigen calls besides, and the images of a build before it."""
    from amigen.aws.build_calls import ALL
    from amigen.aws.calls import CALLS

    calls = (*CALLS, *ALL)
    return frozenset(grant.action for call in calls if "build" in call.purposes for grant in call.grants)


@pytest.mark.parametrize("region", _PARTITIONS)
@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_nothing_is_granted_that_the_builder_does_not_need(
    tmp_path: Path, region: str, options: dict[str, str]
) -> None:
    image, account = spec(tmp_path, region, **options), Account()
    authority = Authority(policy(image, ["build"], Scope(account=ACCOUNT)), account)
    for request in builder_calls(image, account):
        for need in needs(request, account):
            authority.allows(need)

    assert {action for _, action in authority.unused} - _always_needed() == set()


def _foreign(region: str) -> Iterator[Request]:
    """What belongs to others: of another spec whose name begins alike, and without any tag of ours."""

    def call(operation: str, service: str = "ec2", **params: Any) -> Request:
        return Request(service=service, operation=operation, region=region, params=params)

    tags = [{"Key": key, "Value": value} for key, value in _OURS.items()]
    for suffix in ("bare", "other"):
        yield call("AuthorizeSecurityGroupIngress", GroupId=f"sg-{suffix}")
        yield call("DeleteSecurityGroup", GroupId=f"sg-{suffix}")
        yield call("TerminateInstances", InstanceIds=[f"i-{suffix}"])
        yield call("StopInstances", InstanceIds=[f"i-{suffix}"])
        yield call("CreateImage", InstanceId=f"i-{suffix}")
        yield call("StartSession", "ssm", Target=f"i-{suffix}", DocumentName="AWS-StartPortForwardingSession")
        yield call("DeleteVolume", VolumeId=f"vol-{suffix}")
        yield call("DeregisterImage", ImageId=f"ami-{suffix}")
        yield call("ModifyImageAttribute", ImageId=f"ami-{suffix}")
        yield call("DeleteSnapshot", SnapshotId=f"snap-{suffix}")
        for kind in ("ami", "snap", "i", "vol", "eni"):
            yield call("CreateTags", Resources=[f"{kind}-{suffix}"], Tags=tags)
    yield call("DeleteKeyPair", KeyName="amigen-b1-webshop-ubuntu-24.04-x86_64")
    yield call("DeleteKeyPair", KeyName="admin")
    yield call("StartSession", "ssm", Target="i-node", DocumentName="AWS-StartPortForwardingSession")
    yield call("StartSession", "ssm", Target="i-1", DocumentName="SSM-SessionManagerRunShell")
    yield call("StartSession", "ssm", Target="i-1")
    yield call("TerminateInstances", InstanceIds=["i-node"])
    launched = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "network-interface", "volume")]
    yield call("RunInstances", IamInstanceProfile={"Name": "admin"}, TagSpecifications=launched)
    yield call("RunInstances", IamInstanceProfile={"Name": "builder-2"}, TagSpecifications=launched)
    yield call("GetInstanceProfile", "iam", InstanceProfileName="admin")


@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_a_build_cannot_touch_what_is_of_others(tmp_path: Path, options: dict[str, str]) -> None:
    region = "eu-central-1"
    account = Account(things={f"{kind}-other": _OTHERS for kind in ("sg", "i", "vol", "ami", "snap", "eni")})
    account.things |= {"i-node": {"amigen/name": "web"}, "i-1": _OURS}
    image = spec(tmp_path, region, **options)
    authority = Authority(policy(image, ["build"], Scope(account=ACCOUNT)), account)

    allowed = [
        request for request in _foreign(region) if all(authority.allows(need) for need in needs(request, account))
    ]

    assert allowed == []


def test_where_nothing_is_tagged_at_launch_named_things_of_others_stay_theirs(tmp_path: Path) -> None:
    """In China what has no tag cannot be told from what Packer has just made: docs/publish.md says so."""
    account = Account(things={f"{kind}-other": _OTHERS for kind in ("sg", "i", "vol", "ami", "snap", "eni")})
    account.things |= {"i-node": {"amigen/name": "web"}, "i-1": _OURS}
    image = spec(tmp_path, "cn-north-1")
    authority = Authority(policy(image, ["build"], Scope(account=ACCOUNT)), account)

    allowed = [
        (request.operation, request.params)
        for request in _foreign("cn-north-1")
        if "bare" not in str(request.params) and all(authority.allows(need) for need in needs(request, account))
    ]

    assert allowed == []
