"""What belongs to others is refused by the printed policy of each purpose, and what is ours is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from amigen.aws.grants import Purpose
from amigen.aws.session import Aws
from amigen.kubeproxy.addon import Addon
from amigen.publish.policy import LIMIT, Scope, policy, size
from tests.aws.test_builds_of_others import Account, spec
from tests.publish.authority import ACCOUNT, Authority, needs
from tests.publish.stand_in.wire import Request

REGION = "eu-central-1"
_ALL: tuple[Purpose, ...] = ("publish", "canary", "rollout", "rollback", "images", "prune", "fleet", "verify")
# The account: things of this spec (web), of one whose name begins alike, and of nobody.
_TAGS = {
    "own": {"amigen/name": "web", "amigen/canary": "web-ubuntu-24.04-x86_64-1"},
    "node": {"amigen/name": "web"},
    "like": {"amigen/name": "web-shop", "amigen/canary": "web-shop-ubuntu-24.04-x86_64-1"},
    "bare": {},
}
_KINDS = ("i", "ami", "snap", "lt", "vol", "sg")
_ACCOUNT = Account(things={f"{kind}-{whose}": tags for kind in _KINDS for whose, tags in _TAGS.items()})
_SCOPE = Scope(account=ACCOUNT, group="workers", cluster="prod", nodegroup="workers")


def call(service: str, operation: str, **params: Any) -> Request:
    return Request(service=service, operation=operation, region=REGION, params=params)


def refused(authority: Authority, request: Request) -> bool:
    return not all(map(authority.allows, list(needs(request, _ACCOUNT))))


def authority_for(tmp_path: Path, *purposes: Purpose, scope: Scope = _SCOPE, **aws: str) -> Authority:
    image = spec(tmp_path, REGION, iamInstanceProfile="node", **aws)
    return Authority(policy(image, purposes, scope), _ACCOUNT)


def _tag(resource: str) -> Request:
    return call("ec2", "CreateTags", Resources=[resource], Tags=[{"Key": "amigen/name", "Value": "web"}])


def _foreign() -> Iterator[Request]:
    for whose in ("like", "bare"):
        for kind in _KINDS:
            yield _tag(f"{kind}-{whose}")
        yield call("ec2", "DeregisterImage", ImageId=f"ami-{whose}")
        yield call("ec2", "ModifyImageAttribute", ImageId=f"ami-{whose}")
        yield call("ec2", "EnableImageDeprecation", ImageId=f"ami-{whose}")
        yield call("ec2", "DeleteSnapshot", SnapshotId=f"snap-{whose}")
        yield call("ec2", "ModifySnapshotAttribute", SnapshotId=f"snap-{whose}")
        yield call("ec2", "ModifyLaunchTemplate", LaunchTemplateId=f"lt-{whose}")
        yield call(
            "ec2",
            "CreateLaunchTemplateVersion",
            LaunchTemplateId=f"lt-{whose}",
            LaunchTemplateData={"ImageId": "ami-1"},
        )
        yield call("ec2", "TerminateInstances", InstanceIds=[f"i-{whose}"])
        yield call("ec2", "AuthorizeSecurityGroupIngress", GroupId=f"sg-{whose}")
        yield call("ssm", "SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[f"i-{whose}"])
        yield call("ssm", "StartSession", Target=f"i-{whose}")
    # Nodes of the spec run: only canaries end, and no session is opened on either.
    yield call("ec2", "TerminateInstances", InstanceIds=["i-node"])
    yield call("ssm", "StartSession", Target="i-node")
    yield call("ssm", "SendCommand", DocumentName="AWS-RunPatchBaseline", InstanceIds=["i-own"])
    for parameter in ("/prod/database/password", "/amigen/web-shop/ubuntu-24.04/x86_64", "/amigen/we"):
        yield call("ssm", "GetParameter", Name=parameter)
        yield call("ssm", "GetParameters", Names=[parameter])
        yield call("ssm", "PutParameter", Name=parameter)
    for group in ("workers-2", "worker", "other"):
        yield call("autoscaling", "StartInstanceRefresh", AutoScalingGroupName=group)
        yield call("autoscaling", "CancelInstanceRefresh", AutoScalingGroupName=group)
    for cluster, group in (("prod", "workers-2"), ("prod-2", "workers"), ("other", "workers")):
        yield call("eks", "DescribeNodegroup", clusterName=cluster, nodegroupName=group)
    ours = [{"ResourceType": kind, "Tags": [{"Key": "amigen/name", "Value": "web"}]} for kind in ("instance", "volume")]
    for role in ("admin", "node-2", "nod"):
        yield call("ec2", "RunInstances", IamInstanceProfile={"Name": role}, TagSpecifications=ours)


@pytest.mark.parametrize("resolve", ["true", "false"])
def test_nothing_of_others_can_be_touched(tmp_path: Path, resolve: str) -> None:
    authority = authority_for(tmp_path, *_ALL, launchTemplate=f"{{resolveSsmParameter: {resolve}}}")

    assert [(each.operation, each.params) for each in _foreign() if not refused(authority, each)] == []


def test_what_is_ours_can_be(tmp_path: Path) -> None:
    """The same calls on own things: the refusals above are not of the calls as such."""
    authority = authority_for(tmp_path, *_ALL)
    own = (
        call("ec2", "DeregisterImage", ImageId="ami-own"),
        call("ec2", "ModifyImageAttribute", ImageId="ami-own"),
        call("ec2", "DeleteSnapshot", SnapshotId="snap-own"),
        call("ec2", "ModifyLaunchTemplate", LaunchTemplateId="lt-own"),
        call("ec2", "TerminateInstances", InstanceIds=["i-own"]),
        call("ssm", "SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=["i-own"]),
        call("ssm", "GetParameters", Names=["/amigen/web/ubuntu-24.04/x86_64"]),
        call("ssm", "GetParameters", Names=["/aws/service/ami-amazon-linux-latest/x"]),
        call("eks", "DescribeNodegroup", clusterName="prod", nodegroupName="workers"),
    )

    assert [each.operation for each in own if refused(authority, each)] == []


def test_a_parameter_of_others_is_readable_where_it_is_named(tmp_path: Path) -> None:
    scope = Scope(account=ACCOUNT, parameters=("/team/ami",))
    authority = authority_for(tmp_path, "prune", scope=scope)

    assert not refused(authority, call("ssm", "GetParameters", Names=["/team/ami"]))
    assert refused(authority, call("ssm", "GetParameters", Names=["/team/ami-2"]))


def test_verification_over_systems_manager_needs_what_the_policy_says(tmp_path: Path) -> None:
    """What `amigen.connections.ssm` calls: a command on an instance, and its answer."""
    authority = authority_for(tmp_path, "verify")
    calls = (
        call("ssm", "SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=["i-node"]),
        call("ssm", "GetCommandInvocation", CommandId="c", InstanceId="i-node"),
    )

    assert [each.operation for each in calls if refused(authority, each)] == []
    assert authority.unused == set()


def test_the_add_on_needs_what_the_policy_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that the add-on really makes are recorded (their answers are canned), and judged."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("eks", region_name=REGION)
    made: list[Request] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        made.append(call("eks", model.name, **params))

    client.meta.events.register("provide-client-params.eks", record)
    stub = Stubber(client)
    # botocore hands the answers out unread: only the calls are of interest here.
    monkeypatch.setattr("amigen.aws.answer._check_body", lambda **_: None)
    update = {"update": {"id": "u", "status": "InProgress"}}
    stub.add_response("describe_addon", {"addon": {"addonVersion": "v1", "status": "ACTIVE"}})
    stub.add_response("describe_addon_configuration", {"configurationSchema": "{}"})
    stub.add_response("list_updates", {"updateIds": ["u"]})
    stub.add_response("describe_update", update)
    stub.add_response("update_addon", update)
    with stub:
        monkeypatch.setattr(Aws, "_client", lambda *_: client)
        addon = Addon(Aws(), "prod", REGION)
        addon.read()
        addon.schema("v1")
        addon.under_way()
        addon.update("{}", "NONE")
    authority = authority_for(tmp_path, "kube-proxy")

    assert [each.operation for each in made if refused(authority, each)] == []
    assert authority.unused == set()
    foreign = [
        call("eks", each.operation, **{**each.params, "clusterName": "prod-2", "name": "prod-2"}) for each in made
    ]
    assert {each.operation for each in foreign if not refused(authority, each)} == {"DescribeAddonConfiguration"}


@pytest.mark.parametrize("purpose", [*_ALL, "build", "kube-proxy"])
def test_a_purpose_fits_a_managed_policy(tmp_path: Path, purpose: Purpose) -> None:
    keys = {"encryption": "{kmsKeyId: alias/images}", "deprecateAfterDays": "9"}
    image = spec(tmp_path, REGION, iamInstanceProfile="node", copyRegions="[eu-west-1, us-east-1]", **keys)

    assert size(policy(image, [purpose], _SCOPE)) <= LIMIT
