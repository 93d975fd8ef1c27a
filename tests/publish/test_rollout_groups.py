"""`amigen publish --rollout`: what the groups are is looked at first, and kept; several groups are one rollout."""

from __future__ import annotations

from typing import Any

import pytest

from tests.publish.groups import GROUP, NODES, auto_scaling_group, described, groups_of_a_first_publish
from tests.publish.stand_in.wire import Refusal, Request
from tests.publish.world import World

POLICY: dict[str, Any] = {
    "InstancesDistribution": {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 25,
        "SpotAllocationStrategy": "capacity-optimized",
    },
}


def _first_publish(world: World, aws: str = "") -> str:
    """Its template; then a second image."""
    world.write_spec(aws, copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    template: str = world.template()["LaunchTemplateId"]
    world.write_spec(aws, copy_regions="", scheduler="sed")
    world.build(tag="2")
    return template


def _default(world: World) -> int:
    number: int = world.template()["DefaultVersionNumber"]
    return number


def _rolled_out(world: World, *groups: str, more: tuple[str, ...] = ()) -> Any:
    chosen = [word for group in groups or (GROUP,) for word in ("--rollout", group)]
    return world.publish("--set-default", *chosen, *more)


# -- a mix of instance types and of Spot -------------------------------------------------------------------------------


def test_a_mixed_group_keeps_its_policy(world: World) -> None:
    """A refresh that is told a template alone would take Spot and the instance types away."""
    template = _first_publish(world)
    other = world.client("ec2").create_launch_template(
        LaunchTemplateName="other",
        LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "t3.small"},
        # That of another architecture: the printed policy lets launch only what is of the spec.
        TagSpecifications=[
            {"ResourceType": "launch-template", "Tags": [{"Key": "amigen/name", "Value": "ipvs-nodes"}]}
        ],
    )["LaunchTemplate"]["LaunchTemplateId"]
    own = {"LaunchTemplateId": template, "Version": "1"}
    overrides: list[dict[str, Any]] = [
        {"InstanceType": "m5.large", "WeightedCapacity": "2"},
        {"InstanceType": "m5a.large", "LaunchTemplateSpecification": own},
        {"InstanceType": "m6g.large", "LaunchTemplateSpecification": {"LaunchTemplateId": other, "Version": "1"}},
    ]
    mixed: dict[str, Any] = {**POLICY, "LaunchTemplate": {"LaunchTemplateSpecification": own, "Overrides": overrides}}
    auto_scaling_group(world, "workers", MixedInstancesPolicy=mixed)
    before = described(world)["MixedInstancesPolicy"]

    result = _rolled_out(world)

    assert result.code == 0, result.err
    after = described(world)["MixedInstancesPolicy"]
    assert after["InstancesDistribution"] == before["InstancesDistribution"]
    assert after["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"] == "2"
    moved = {"LaunchTemplateId": template, "Version": "2"}
    assert after["LaunchTemplate"]["Overrides"] == [
        overrides[0],
        {**overrides[1], "LaunchTemplateSpecification": moved},
        overrides[2],
    ]


def test_a_policy_that_an_old_boto3_cannot_keep_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"LaunchTemplateId": _first_publish(world), "Version": "1"}
    auto_scaling_group(
        world, "workers", MixedInstancesPolicy={**POLICY, "LaunchTemplate": {"LaunchTemplateSpecification": own}}
    )
    monkeypatch.setattr("amigen.aws.model.knows", lambda *_: False)

    result = _rolled_out(world)

    assert result.code == 13
    assert "update botocore" in result.err
    assert _default(world) == 1


# -- plan first --------------------------------------------------------------------------------------------------------


def test_the_plan_says_from_which_version_to_which(world: World) -> None:
    _first_publish(world)
    auto_scaling_group(world, "workers")

    text = _rolled_out(world, more=("--dry-run",))
    document = _rolled_out(world, more=("--dry-run", "--output", "json"))

    assert (text.code, document.code) == (0, 0), text.err + document.err
    assert (
        "then: roll the default version out to Auto Scaling group workers in eu-central-1: version 1 -> (the new"
        in (text.out)
    )
    group = {"group": "Auto Scaling group workers in eu-central-1", "from": "1", "to": None}
    assert document.json["rollouts"] == [{**group, "done": None, "takenBack": None, "error": None}]


def _busy(world: World) -> None:
    auto_scaling_group(world, "workers")
    template = {"LaunchTemplateId": world.template()["LaunchTemplateId"], "Version": "7"}
    world.gateway.model.refreshes["workers"] = [
        {
            "InstanceRefreshId": "somebody-elses",
            "AutoScalingGroupName": "workers",
            "Status": "InProgress",
            "DesiredConfiguration": {"LaunchTemplate": template},
            "Preferences": {},
            "_version": "7",
        }
    ]
    world.gateway.model.stuck_versions = {"7"}


def _busy_nodes(world: World) -> None:
    _nodes(world)
    world.gateway.model.updates["somebody-elses"] = {
        "id": "somebody-elses",
        "status": "InProgress",
        "params": [{"type": "LaunchTemplateVersion", "value": "7"}],
        "_looks": 0,
        "_group": {},
    }
    world.gateway.model.updates_end = False


def _nodes(world: World) -> None:
    template = {"id": world.template()["LaunchTemplateId"], "version": "1"}
    group = {"clusterName": "prod", "nodegroupName": "workers", "launchTemplate": template}
    world.gateway.model.nodegroups["prod", "workers"] = group


@pytest.mark.parametrize(
    ("group", "prepare", "aws", "code", "said"),
    [
        (GROUP, lambda world: None, "", 14, "there is no Auto Scaling group workers"),
        (NODES, lambda world: None, "", 14, "there is no node group prod/workers"),
        (GROUP, lambda world: auto_scaling_group(world, "workers", "$Latest"), "", 13, "runs $Latest"),
        (GROUP, _busy, "", 5, "another instance refresh to version 7, somebody-elses"),
        (NODES, _busy_nodes, "", 5, "another update to version 7, somebody-elses"),
        (NODES, _nodes, "launchTemplate: {iamInstanceProfile: node}", 13, "names an instance profile"),
    ],
    ids=["typo", "typo-nodes", "latest", "busy", "busy-nodes", "profile"],
)
def test_a_group_that_cannot_follow_is_refused_before_the_default_moves(
    world: World, group: str, prepare: Any, aws: str, code: int, said: str
) -> None:
    _first_publish(world, aws)
    prepare(world)

    planned = _rolled_out(world, group, more=("--dry-run",))
    done = _rolled_out(world, group, more=("--output", "json"))

    assert (planned.code, done.code) == (code, code), planned.err + done.err
    assert said in planned.err
    assert said in done.json["rollouts"][0]["error"]
    assert _default(world) == 1
    assert len(world.template()["versions"]) == 1


# -- whose refresh it was ----------------------------------------------------------------------------------------------


def test_somebody_elses_refresh_is_not_taken_for_the_rollout(world: World) -> None:
    """It began between the look and the start, and goes nowhere."""
    _first_publish(world)
    auto_scaling_group(world, "workers")
    other = {"InstanceRefreshId": "other", "AutoScalingGroupName": "workers", "Status": "Pending"}

    def refused(request: Request) -> None:
        if request.operation == "StartInstanceRefresh":
            world.gateway.model.refreshes["workers"] = [{**other, "DesiredConfiguration": {}, "Preferences": {}}]
            raise Refusal("InstanceRefreshInProgress", "An Instance Refresh is already in progress")

    world.gateway.authority = refused

    result = _rolled_out(world)

    assert result.code == 5, result.out
    assert "in the middle of another instance refresh, other" in result.err
    assert "is rolled out" not in result.out


def test_instances_that_a_refresh_has_left_are_named(world: World) -> None:
    _first_publish(world)
    auto_scaling_group(world, "workers")
    kept = described(world)["Instances"][0]["InstanceId"]
    world.gateway.model.kept = {kept}

    result = _rolled_out(world)

    assert result.code == 10
    assert f"not all of it is at version 2: {kept} (InService) has version 1" in result.err
    assert "is rolled out" not in result.out


def test_the_refresh_that_was_begun_is_the_one_that_is_followed(world: World) -> None:
    """A newer one of somebody else, which succeeds, says nothing about ours."""
    _first_publish(world)
    auto_scaling_group(world, "workers")
    world.gateway.model.bad_versions = {"2"}

    def later(request: Request) -> None:
        history = world.gateway.model.refreshes.get("workers", [])
        if (
            request.operation == "DescribeInstanceRefreshes"
            and history
            and history[0]["Status"] == "RollbackInProgress"
        ):
            history.insert(0, {**history[0], "InstanceRefreshId": "other", "Status": "Successful"})

    world.gateway.before = later

    result = _rolled_out(world)

    assert result.code == 10
    assert "is RollbackSuccessful" in result.err
    assert _default(world) == 1


# -- an image by its parameter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [False, True], ids=["well", "badly"])
def test_a_template_of_a_parameter_goes_back_without_aws(world: World, bad: bool) -> None:
    """AWS does not roll back to a template that has a parameter in place of its AMI id."""
    _first_publish(world, "launchTemplate: {resolveSsmParameter: true}")
    auto_scaling_group(world, "workers")
    world.gateway.model.bad_versions = {"2"} if bad else set()

    result = _rolled_out(world)

    assert result.code == (10 if bad else 0), result.err
    wanted = [r["DesiredConfiguration"]["LaunchTemplate"]["Version"] for r in world.gateway.model.refreshes["workers"]]
    assert wanted == (["1", "2"] if bad else ["2"])
    assert not any("AutoRollback" in c.params["Preferences"] for c in world.gateway.named("StartInstanceRefresh"))
    assert _default(world) == (1 if bad else 2)
    assert ("its instances are back at version 1" in result.err) == bad
    entry = world.ledger["entries"]["al2023/x86_64/eu-central-1"]
    assert (entry["default"], entry["version"], "rolled-back" in entry["steps"]) == (1 if bad else 2, 2, bad)


# -- several groups ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "$Default"])
def test_groups_before_the_one_that_failed_are_taken_back(world: World, version: str) -> None:
    """All or none: the first would run what is the default of nothing."""
    _first_publish(world)
    auto_scaling_group(world, "workers", version)
    auto_scaling_group(world, "second", version)
    auto_scaling_group(world, "third", version)
    _nodes(world)
    world.gateway.model.bad_versions, world.gateway.model.bad_groups = {"2"}, {"second"}

    groups = (GROUP, NODES, "asg:second@eu-central-1", "asg:third@eu-central-1")
    result = _rolled_out(world, *groups, more=("--output", "json"))

    assert result.code == 10
    assert _default(world) == 1
    assert [described(world, name)["LaunchTemplate"]["Version"] for name in ("workers", "second", "third")] == (
        [version] * 3
    )
    assert set(world.gateway.gaps.launched_from.values()) == {"1"}
    assert world.gateway.model.nodegroups["prod", "workers"]["launchTemplate"]["version"] == "1"
    first, nodes, second, third = result.json["rollouts"]
    assert first["takenBack"].endswith("its instances are back at version 1")
    assert nodes["takenBack"].endswith("its nodes are back at version 1")
    assert "is RollbackSuccessful" in second["error"] or "is Failed" in second["error"]
    assert (third["done"], third["takenBack"], third["error"]) == (None, None, None)
    assert first["takenBack"] in result.err
    assert nodes["takenBack"] in result.err


def test_a_group_before_that_cannot_be_taken_back_is_named(world: World) -> None:
    groups_of_a_first_publish(world, "1")
    world.gateway.model.bad_versions, world.gateway.model.bad_groups = {"2"}, {"second"}
    auto_scaling_group(world, "second")

    def refused(request: Request) -> None:
        if request.operation == "UpdateNodegroupVersion" and request.params["launchTemplate"]["version"] == "1":
            raise Refusal("InvalidRequestException", "not now")

    world.gateway.authority = refused

    result = _rolled_out(world, NODES, "asg:second@eu-central-1")

    assert result.code == 10
    assert "node group prod/workers in eu-central-1 is left at the new version" in result.err
    assert "not now" in result.err
