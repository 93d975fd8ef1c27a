"""`amigen iam-policy --for build` lets nobody touch what belongs to others.

That it allows what Packer does, and no action besides, is in tests/publish/test_packer_calls.py.
"""

from __future__ import annotations

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
    "spot, temporary profile": {
        "builder": "{spot: {}, instanceProfilePolicy: [{actions: ['s3:GetObject'], resources: ['*']}]}"
    },
    "Session Manager": {"communicator": "session-manager", "iamInstanceProfile": "builder"},
}


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
    yield call("DeleteLaunchTemplate", LaunchTemplateName="other")
    yield call("GetConsoleOutput", InstanceId="i-node")
    for role in ("admin", "packer-other", "packer-bare"):
        yield call("PutRolePolicy", "iam", RoleName=role)
        yield call("DeleteRole", "iam", RoleName=role)
        yield call("AddRoleToInstanceProfile", "iam", RoleName=role, InstanceProfileName=role)
        yield call("DeleteInstanceProfile", "iam", InstanceProfileName=role)
    yield call("CreateRole", "iam", RoleName="packer-1", Tags=[])
    yield call("CreateRole", "iam", RoleName="admin", Tags=tags)
    # Without tags, only Packer's dry run: the smallest instance, with the temporary profile.
    yield call("RunInstances", InstanceType="t3.nano", IamInstanceProfile={"Name": "admin"})
    yield call("RunInstances", InstanceType="p5.48xlarge", IamInstanceProfile={"Name": "packer-1"})


@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_a_build_cannot_touch_what_is_of_others(tmp_path: Path, options: dict[str, str]) -> None:
    region = "eu-central-1"
    account = Account(things={f"{kind}-other": _OTHERS for kind in ("sg", "i", "vol", "ami", "snap", "eni")})
    account.things |= {"i-node": {"amigen/name": "web"}, "i-1": _OURS, "launch-template/other": _OTHERS}
    account.things |= {f"{kind}/packer-other": _OTHERS for kind in ("role", "instance-profile")}
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
