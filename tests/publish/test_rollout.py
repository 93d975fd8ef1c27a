"""`amigen publish --rollout`: instance refresh and node group update, followed, and taken back on failure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.publish.groups import GROUP, NODES, auto_scaling_group, described, groups_of_a_first_publish
from tests.publish.stand_in.wire import Refusal, Request
from tests.publish.world import BUILD_REGION, World


def _refreshes(world: World) -> list[tuple[str, str]]:
    return [
        (r["DesiredConfiguration"].get("LaunchTemplate", {}).get("Version", ""), r["Status"])
        for r in world.gateway.model.refreshes["workers"]
    ]


def test_a_group_with_a_number_gets_the_new_one(world: World) -> None:
    """AWS itself is told to go back on failure, so that it does so even if nobody looks."""
    groups_of_a_first_publish(world, "1")

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 0, result.err
    assert _refreshes(world) == [("2", "Successful")]
    assert world.gateway.named("StartInstanceRefresh")[0].params["Preferences"]["AutoRollback"] in (True, "true")
    assert "50 %" in result.err
    assert "version 2 is rolled out" in result.out


def test_a_group_with_the_default_keeps_it(world: World) -> None:
    groups_of_a_first_publish(world, "$Default")

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 0, result.err
    group = world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["workers"])
    assert group["AutoScalingGroups"][0]["LaunchTemplate"]["Version"] == "$Default"


def test_a_group_with_the_latest_is_refused(world: World) -> None:
    """Every new version would be live before its canary."""
    groups_of_a_first_publish(world, "$Latest")

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 13
    assert "$Latest" in result.err


def test_a_rollout_that_fails_is_taken_back(world: World) -> None:
    """The group by AWS; the default version and the parameter by amigen."""
    groups_of_a_first_publish(world, "1")
    old = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"]
    world.gateway.model.bad_versions = {"2"}

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 10
    assert _refreshes(world) == [("2", "RollbackSuccessful")]
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"] == old
    assert "the default is version 1 again" in result.err


@pytest.mark.parametrize(
    ("group", "operation"), [(GROUP, "StartInstanceRefresh"), (NODES, "UpdateNodegroupVersion"), (NODES, "ListUpdates")]
)
def test_a_rollout_that_is_refused_is_taken_back(world: World, group: str, operation: str) -> None:
    """Nothing has begun: default and parameter go back, and so does the group before."""
    groups_of_a_first_publish(world, "1")
    auto_scaling_group(world, "first")
    old = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"]
    others = [] if group == GROUP else ["--rollout", GROUP]
    world.gateway.authority = refuse_on_apply(world, operation)

    result = world.publish("--set-default", *others, "--rollout", group)

    assert result.code == 10
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"] == old
    assert "the default is version 1 again" in result.err
    assert described(world)["LaunchTemplate"]["Version"] == "1"
    # The other region has no group: its default stays, and that is said.
    assert "in eu-west-1 stays version 2" in result.err


def refuse_on_apply(world: World, operation: str) -> Callable[[Request], None]:
    """Deny an operation from the moment on at which a default moves."""
    moved: list[str] = []

    def judge(request: Request) -> None:
        if request.operation == "ModifyLaunchTemplate":
            moved.append(request.operation)
        if moved and request.operation == operation:
            raise Refusal("AccessDeniedException", "not allowed")

    return judge


def test_a_rollout_that_gets_no_answer_says_what_stays(world: World) -> None:
    """The refresh may have begun: nothing is taken back, and the next run goes on."""
    groups_of_a_first_publish(world, "1")
    world.gateway.before = None

    def judge(request: Request) -> None:
        if request.operation == "StartInstanceRefresh":
            raise Refusal("Throttling", "slow down")

    world.gateway.authority = judge
    result = world.publish("--set-default", "--rollout", GROUP)
    world.gateway.authority = None

    assert result.code == 10
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2
    assert "in eu-central-1 stays version 2" in result.err
    assert world.publish("--set-default", "--rollout", GROUP).code == 0
    assert described(world)["LaunchTemplate"]["Version"] == "2"


def test_a_group_with_the_default_is_taken_back_by_a_second_refresh(world: World) -> None:
    groups_of_a_first_publish(world, "$Default")
    world.gateway.model.fail_refreshes = 1

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 10
    assert [status for _, status in _refreshes(world)] == ["Successful", "Failed"]
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert "its instances are back at version 1" in result.err


def test_a_rollout_that_takes_too_long_is_stopped_and_taken_back(world: World) -> None:
    groups_of_a_first_publish(world, "$Default")
    world.gateway.model.stuck_versions = {"2"}

    result = world.publish("--set-default", "--rollout", GROUP, "--timeout", "0.02")

    assert result.code == 10
    assert [status for _, status in _refreshes(world)] == ["Successful", "Cancelled"]
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1


def test_a_node_group_gets_the_new_version(world: World) -> None:
    groups_of_a_first_publish(world, "1")

    result = world.publish("--set-default", "--rollout", NODES)

    assert result.code == 0, result.err
    assert world.gateway.model.nodegroups["prod", "workers"]["launchTemplate"]["version"] == "2"


def test_a_node_group_that_fails_is_taken_back(world: World) -> None:
    groups_of_a_first_publish(world, "1")
    world.gateway.model.bad_versions = {"2"}

    result = world.publish("--set-default", "--rollout", NODES)

    assert result.code == 10
    wanted = [u["params"][0]["value"] for u in world.gateway.model.updates.values()]
    assert wanted == ["2", "1"]
    assert world.gateway.model.nodegroups["prod", "workers"]["launchTemplate"]["version"] == "1"
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert "NodeCreationFailure: nodes did not join" in result.err


def test_a_node_group_that_takes_too_long_is_followed_by_the_next_run(world: World) -> None:
    """EKS has no call that stops an update: it is said, and the default stays where the nodes are going."""
    groups_of_a_first_publish(world, "1")
    world.gateway.model.updates_end = False

    slow = world.publish("--set-default", "--rollout", NODES, "--timeout", "0.01")

    assert slow.code == 10
    assert "it continues in AWS; run the same command again" in slow.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2
    world.gateway.model.updates_end = True
    again = world.publish("--set-default", "--rollout", NODES)
    assert again.code == 0, again.err
    assert len(world.gateway.named("UpdateNodegroupVersion")) == 1
    assert world.gateway.model.nodegroups["prod", "workers"]["launchTemplate"]["version"] == "2"


def test_a_second_run_follows_what_is_under_way(world: World) -> None:
    """Cut off while the refresh runs: the next run takes it up and starts no other."""
    groups_of_a_first_publish(world, "1")
    template = world.template(BUILD_REGION)["LaunchTemplateId"]
    assert world.publish("--set-default").code == 0
    world.gateway.model.refreshes["workers"] = [
        {
            "InstanceRefreshId": "refresh-0",
            "AutoScalingGroupName": "workers",
            "Status": "Pending",
            "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}},
            "Preferences": {},
        }
    ]

    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == 0, result.err
    assert world.gateway.named("StartInstanceRefresh") == []


def test_a_group_of_another_template_is_not_touched(world: World) -> None:
    groups_of_a_first_publish(world, "1")
    world.gateway.model.nodegroups["prod", "workers"]["launchTemplate"]["id"] = "lt-00000000000000000"

    result = world.publish("--set-default", "--rollout", NODES)

    assert result.code == 14
    assert "uses lt-00000000000000000" in result.err


def test_words_that_are_no_group(world: World) -> None:
    world.write_spec()
    for words, said in (
        ("workers", "is not a group"),
        ("asg:workers", "needs a region"),
        ("asg:w@us-west-1", "not a region"),
    ):
        result = world.publish("--set-default", "--rollout", words)
        assert result.code == 14
        assert said in result.err


def test_how_nodes_are_replaced_is_passed_on(world: World) -> None:
    groups_of_a_first_publish(world, "1")
    how = (
        "--min-healthy",
        "80",
        "--warm-up",
        "60",
        "--checkpoint",
        "50",
        "--checkpoint",
        "100",
        "--checkpoint-delay",
        "5",
    )

    result = world.publish(
        "--set-default",
        "--rollout",
        GROUP,
        "--rollout",
        NODES,
        *how,
        "--standby",
        "Wait",
        "--protected",
        "Refresh",
        "--force",
    )

    assert result.code == 0, result.err
    asked = world.gateway.named("StartInstanceRefresh")[0].params["Preferences"]
    assert (int(asked["MinHealthyPercentage"]), int(asked["InstanceWarmup"])) == (80, 60)
    assert [int(each) for each in asked["CheckpointPercentages"]] == [50, 100]
    assert (asked["StandbyInstances"], asked["ScaleInProtectedInstances"]) == ("Wait", "Refresh")
    assert world.gateway.named("UpdateNodegroupVersion")[0].params["force"] is True


def test_preferences_without_a_rollout_are_refused(world: World) -> None:
    world.write_spec()
    world.build()

    result = world.publish("--set-default", "--warm-up", "60")

    assert result.code == 14
    assert "--rollout" in result.err
