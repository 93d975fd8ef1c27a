"""`amigen iam-policy`: every call is allowed by the printed policy, and nothing in it is for nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from amigen.aws.calls import CALLS
from tests.publish import scenarios
from tests.publish.authority import Authority, Need, needs
from tests.publish.groups import groups_of_a_first_publish
from tests.publish.stand_in.wire import Request, service_model
from tests.publish.test_images import EKS
from tests.publish.world import BUILD_REGION, World

PROFILE = """\
iamInstanceProfile: node
share:
  accounts: ["111122223333"]
encryption:
  kmsKeyId: alias/images
deprecateAfterDays: 365"""


KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
RESOLVING = f"{PROFILE}\nlaunchTemplate: {{resolveSsmParameter: true}}"


def _policy(world: World, *purposes: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    chosen = [word for purpose in purposes for word in ("--for", purpose)]
    result = world.amigen("iam-policy", *chosen, *more)
    assert result.code == 0, result.err
    document: dict[str, Any] = result.json
    return document


def _under(world: World, purposes: tuple[str, ...], *runs: Callable[[World], None], more: tuple[str, ...] = ()) -> None:
    """Do it with the policy in force, and see that all of the policy was of use."""
    world.gateway.reset_fault()
    authority = Authority(_policy(world, *purposes, more=more), world.gateway)
    world.gateway.authority = authority
    for run in runs:
        run(world)
    assert authority.unused == set()


def _does(*args: str, code: int = 0) -> Callable[[World], None]:
    def run(world: World) -> None:
        result = world.amigen(*(a.replace("{record}", str(world.record_path)) for a in args))
        assert result.code == code, result.err

    return run


PUBLISH = ("publish", "--record", "{record}", "--yes", "--poll", "0")


@pytest.mark.parametrize("own", [pytest.param(PROFILE, id="by id"), pytest.param(RESOLVING, id="by parameter")])
def test_publish_needs_what_the_policy_says(world: World, own: str) -> None:
    """A first and a second publish, and a copy that failed in between."""
    world.gateway.customer_key = KEY
    world.write_spec(own)
    world.build(tag="1")

    def copy_fails(world: World) -> None:
        world.write_spec(own, scheduler="sed")
        world.build(tag="2")
        world.gateway.gaps.failing_regions = {"eu-west-1"}
        _does(*PUBLISH, "--set-default", code=10)(world)
        world.gateway.gaps.failing_regions = set()

    again = _does(*PUBLISH)
    _under(world, ("publish",), again, again, copy_fails, _does(*PUBLISH, "--set-default"))
    assert world.gateway.named("DeregisterImage")


@pytest.mark.parametrize("own", [pytest.param(PROFILE, id="by id"), pytest.param(RESOLVING, id="by parameter")])
def test_a_canary_needs_what_the_policies_say(world: World, own: str) -> None:
    world.gateway.customer_key = KEY
    world.client("iam").create_instance_profile(InstanceProfileName="node")
    world.write_spec(own)
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(own, scheduler="sed")
    world.build(tag="2")

    def too_long(world: World) -> None:
        """A command that does not end is called off."""
        world.gateway.model.commands_end = False
        _does(*PUBLISH, "--canary", "--timeout", "0.02", code=10)(world)
        world.gateway.model.commands_end = True

    world.gateway.authority = None
    authority = Authority(_policy(world, "publish", "canary"), world.gateway)
    world.gateway.authority = authority
    too_long(world)
    _does(*PUBLISH, "--canary")(world)
    world.gateway.authority = None
    # What only a first publish or a failed copy needs is shown by the test of publish.
    assert _unused_of(authority, _policy(world, "canary")) == set()


@pytest.mark.parametrize("purpose", ["canary", "rollout"])
def test_a_purpose_that_launches_may_use_key_and_parameter_by_itself(world: World, purpose: str) -> None:
    """Whatever is published with another policy."""
    world.write_spec(RESOLVING)
    world.build()
    assert world.publish().code == 0
    world.gateway.customer_key = KEY
    authority = Authority(_policy(world, purpose), world.gateway)
    template = {"LaunchTemplateId": world.template()["LaunchTemplateId"], "Version": "1"}
    launch = Request(
        service="autoscaling",
        operation="StartInstanceRefresh",
        region=BUILD_REGION,
        params={"AutoScalingGroupName": "g", "DesiredConfiguration": {"LaunchTemplate": template}},
    )
    asked = [n for n in needs(launch, world.gateway) if not n.action.startswith("autoscaling:")]

    assert {n.action.split(":")[0] for n in asked} == {"ec2", "kms", "ssm"}
    assert [n for n in asked if not authority.allows(n)] == []


def _unused_of(authority: Authority, part: dict[str, Any]) -> set[tuple[str, str]]:
    """What of a part of the policy was of no use: action, with its resources and conditions."""

    def pairs(statements: list[dict[str, Any]]) -> list[set[tuple[str, str]]]:
        keys = [json.dumps([s["Resource"], s.get("Condition")], sort_keys=True) for s in statements]
        return [{(action, key) for action in s["Action"]} for s, key in zip(statements, keys, strict=True)]

    whole = pairs(authority.statements)
    unused = {pair for number, action in authority.unused for pair in whole[number] if pair[0] == action}
    return {pair for each in pairs(part["Statement"]) for pair in each} & unused


def _actions(document: dict[str, Any]) -> list[str]:
    return [action for statement in document["Statement"] for action in statement["Action"]]


def test_rollback_needs_what_the_policy_says(world: World) -> None:
    world.write_spec()
    scenarios._published_twice(world)

    _under(world, ("rollback",), _does("rollback", "--yes"))


def _template_of_a_parameter(world: World) -> None:
    """Templates of others, whose images are what a parameter of theirs and a public one say."""
    world.client("ssm").put_parameter(Name="/mine", Value="ami-12345678", Type="String")
    public = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    for name, parameter in (("other", "/mine"), ("public", public)):
        data = {"ImageId": f"resolve:ssm:{parameter}", "InstanceType": "t3.small"}
        world.client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)


def test_prune_needs_what_the_policy_says(world: World) -> None:
    scenarios._old_images(world)
    _template_of_a_parameter(world)
    world.client("ec2", "eu-west-1").create_launch_template(
        LaunchTemplateName="other", LaunchTemplateData={"ImageId": "ami-12345678"}
    )

    oldest = world.client("ec2").describe_images(Owners=["self"])["Images"][0]["ImageId"]
    world.client("ec2").modify_image_attribute(ImageId=oldest, LaunchPermission={"Add": [{"UserId": "111122223333"}]})

    words = ("images", "prune", "--keep", "1", "--older-than", "0", "--apply", "--yes")
    # The first run requests the usage report of the shared image.
    _under(world, ("prune",), _does(*words, code=7), _does(*words), more=("--parameter", "/mine"))


def test_a_rollout_needs_what_the_policies_say(world: World) -> None:
    """An instance refresh and a node group update; one that fails and is taken back; one that is cancelled."""
    group, nodes = "asg:workers@eu-central-1", "nodegroup:prod/workers@eu-central-1"
    groups_of_a_first_publish(world, "1")
    authority = Authority(
        _policy(world, "publish", "rollback", "rollout", more=("--group", "workers", "--nodegroup", "prod/workers")),
        world.gateway,
    )
    world.gateway.authority = authority
    _does(*PUBLISH, "--set-default", "--rollout", group, "--rollout", nodes)(world)
    for number, scheduler in enumerate(("nq", "wrr"), 3):
        world.gateway.authority = None
        world.write_spec(scheduler=scheduler)
        world.build(tag=str(number))
        world.gateway.authority = authority
        world.gateway.model.bad_versions = {"3"}
        world.gateway.model.stuck_versions = {"4"}
        _does(*PUBLISH, "--set-default", "--rollout", group, "--timeout", "0.02", code=10)(world)
    world.gateway.authority = None

    assert world.gateway.named("CancelInstanceRefresh")
    more = ("--group", "workers", "--nodegroup", "prod/workers")
    assert _unused_of(authority, _policy(world, "rollout", more=more)) == set()


def test_images_needs_what_the_policy_says(world: World) -> None:
    world.write_spec()
    world.build()
    assert world.publish().code == 0
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = world.make_image("eks", {})
    _template_of_a_parameter(world)

    _under(
        world,
        ("images",),
        _does("images", "base"),
        _does("images", "list"),
        _does("images", "drift", code=4),
        more=("--parameter", "/mine"),
    )


def test_fleet_needs_what_the_policy_says(world: World) -> None:
    world.write_spec(copy_regions="")
    tags = [{"Key": "team", "Value": "nodes"}]
    world.client("ec2").run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )

    def too_long(world: World) -> None:
        world.gateway.model.commands_end = False
        _does("fleet", "verify", "--tag", "team=nodes", "--poll", "0", "--timeout", "0.02", code=10)(world)
        world.gateway.model.commands_end = True

    _under(
        world,
        ("fleet",),
        too_long,
        _does("fleet", "verify", "--tag", "team=nodes", "--poll", "0"),
        more=("--tag", "team=nodes"),
    )


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:DeregisterImage", "arn:aws:ec2:eu-central-1::image/ami-1", {"aws:ResourceTag/amigen/name": "other"}),
        ("ec2:DeregisterImage", "arn:aws:ec2:eu-central-1::image/ami-1", {}),
        ("ec2:TerminateInstances", "arn:aws:ec2:eu-central-1:123456789012:instance/i-1", {}),
        (
            "ec2:TerminateInstances",
            "arn:aws:ec2:eu-central-1:123456789012:instance/i-1",
            {"aws:ResourceTag/amigen/name": "ipvs-nodes"},
        ),
        ("ssm:PutParameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/amigen/other/al2023/x86_64", {}),
        ("ssm:PutParameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/anything", {}),
        ("ec2:ModifyLaunchTemplate", "arn:aws:ec2:eu-central-1:123456789012:launch-template/lt-1", {}),
        ("ec2:RunInstances", "arn:aws:ec2:eu-central-1:123456789012:instance/*", {}),
        ("ec2:DeleteLaunchTemplate", "arn:aws:ec2:eu-central-1:123456789012:launch-template/lt-1", {}),
    ],
)
def test_what_is_not_ours_is_refused(world: World, action: str, resource: str, context: dict[str, str]) -> None:
    """Other people's images, instances, parameters and templates; and calls that amigen never makes."""
    world.write_spec(PROFILE)
    authority = Authority(_policy(world), world.gateway)

    assert not authority.allows(
        Need(action=action, resource=resource, context={"aws:RequestedRegion": BUILD_REGION, **context})
    )


def _tagging(resource: str, tags: dict[str, str]) -> Need:
    """CreateTags with our name on a thing that has these tags."""
    return Need(
        action="ec2:CreateTags",
        resource=f"arn:aws:ec2:eu-central-1::{resource}",
        context={
            "aws:RequestedRegion": BUILD_REGION,
            "aws:RequestTag/amigen/name": "ipvs-nodes",
            "aws:TagKeys": ["amigen/name"],
            **{f"aws:ResourceTag/{key}": value for key, value in tags.items()},
        },
    )


@pytest.mark.parametrize("resource", ["image/ami-1", "snapshot/snap-1"])
def test_nothing_of_others_is_made_ours_by_a_tag(world: World, resource: str) -> None:
    """Tagged first, it could be deregistered, shared or deleted: all of that asks only for the tag.

    In China a build may tag what has no name at all, which Packer has just made; never what is named for another spec.
    """
    world.write_spec(PROFILE)
    others = _policy(world, "publish", "canary", "rollout", "rollback", "images", "prune", "fleet")
    refused = Authority(others, world.gateway)
    build = Authority(_policy(world, "build"), world.gateway)

    assert not refused.allows(_tagging(resource, {}))
    assert not refused.allows(_tagging(resource, {"amigen/name": "other"}))
    assert refused.allows(_tagging(resource, {"amigen/name": "ipvs-nodes"}))
    assert not build.allows(_tagging(resource, {}))
    assert not build.allows(_tagging(resource, {"amigen/name": "other"}))


def test_a_build_shares_no_image_of_another_spec(world: World) -> None:
    world.write_spec(PROFILE)
    build = Authority(_policy(world, "build"), world.gateway)

    def sharing(tags: dict[str, str]) -> Need:
        need = _tagging("image/ami-1", tags)
        return dataclasses.replace(need, action="ec2:ModifyImageAttribute")

    assert not build.allows(sharing({}))
    assert build.allows(sharing({"amigen/name": "ipvs-nodes"}))
    assert not build.allows(sharing({"amigen/name": "other"}))


def test_other_regions_are_refused(world: World) -> None:
    world.write_spec()
    authority = Authority(_policy(world), world.gateway)
    there = Need(action="ec2:DescribeImages", resource="*", context={"aws:RequestedRegion": "us-west-1"})

    assert not authority.allows(there)
    assert authority.allows(
        Need(action="ec2:DescribeImages", resource="*", context={"aws:RequestedRegion": BUILD_REGION})
    )


def test_the_calls_are_those_of_the_services() -> None:
    """Each entry of the table names an operation that exists."""
    for call in CALLS:
        assert call.operation in service_model(call.service).operation_names


def test_keys_and_profiles_only_where_the_spec_has_them(world: World) -> None:
    world.write_spec()
    assert not {a for a in _actions(_policy(world)) if a.startswith(("kms:", "iam:"))}
    world.write_spec(PROFILE)
    assert {"iam:PassRole", "kms:CreateGrant"} <= set(_actions(_policy(world)))


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
        ("xx-north-1", "aws"),
    ],
)
def test_the_partition_is_that_of_the_region(world: World, region: str, partition: str) -> None:
    world.write_spec(copy_regions="")
    world.spec_path.write_text(world.spec_path.read_text().replace("region: eu-central-1", f"region: {region}"))

    resources = [each for s in _policy(world, "prune")["Statement"] for each in s["Resource"] if each != "*"]

    assert {each.split(":")[1] for each in resources} == {partition}


def test_one_purpose_fits_a_managed_policy(world: World) -> None:
    world.write_spec(PROFILE)
    for purpose in ("build", "publish", "canary", "rollout", "rollback", "images", "prune", "fleet"):
        assert len(json.dumps(_policy(world, purpose), separators=(",", ":"))) <= 6144


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--account", "12", "an account id"),
        ("--account", "", "an account id"),
        ("--cluster", "prod*", "the name of an EKS cluster"),
        ("--nodegroup", "prod/${aws:username}", "the name of a node group"),
        ("--nodegroup", "/workers", "the name of an EKS cluster"),
        ("--group", "work?", "the name of an Auto Scaling group"),
        ("--parameter", "a b", "the name of an SSM parameter"),
        ("--role", "*", "the name of a role"),
    ],
)
def test_a_name_that_would_grant_nothing_or_too_much(world: World, option: str, value: str, words: str) -> None:
    result = world.amigen("iam-policy", option, value)

    assert (result.code, result.out) == (14, "")
    assert words in result.err
