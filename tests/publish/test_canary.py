"""`amigen publish --canary`."""

from __future__ import annotations

from tests.publish.world import BUILD_REGION, World


def _second(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")


def _living(world: World) -> list[str]:
    reservations = world.client("ec2").describe_instances()["Reservations"]
    states = [(i["InstanceId"], i["State"]["Name"]) for r in reservations for i in r["Instances"]]
    return [instance for instance, state in states if state not in ("terminated", "shutting-down")]


def test_a_proven_version_becomes_the_default(world: World) -> None:
    """Launched once, of the version that is not yet the default, proven, terminated, promoted by its number."""
    _second(world)
    world.gateway.start_counting()

    result = world.publish("--canary")

    assert result.code == 0, result.err
    launches = world.gateway.named("RunInstances")
    assert [call.params["LaunchTemplate"]["Version"] for call in launches] == ["2"]
    operations = [c.operation for c in world.gateway.calls]
    assert operations.index("TerminateInstances") < operations.index("ModifyLaunchTemplate")
    assert world.gateway.named("ModifyLaunchTemplate")[0].params["DefaultVersion"] == "2"
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2
    assert _living(world) == []


def test_a_version_that_fails_stays_where_it_is(world: World) -> None:
    """The default and the parameter stay, the instance goes, the message says which check."""
    _second(world)
    world.gateway.model.everywhere = "sick"

    result = world.publish("--canary")

    assert result.code == 6
    assert "test_health[node]" in result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    parameter = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"]
    assert parameter != world.images["al2023/x86_64"]
    assert _living(world) == []


def test_a_canary_that_failed_is_tried_again_with_a_new_instance(world: World) -> None:
    _second(world)
    world.gateway.model.everywhere = "sick"
    world.publish("--canary")
    world.gateway.model.everywhere = "healthy"

    result = world.publish("--canary")

    assert result.code == 0, result.err
    template = world.template(BUILD_REGION)
    assert (template["DefaultVersionNumber"], sorted(template["versions"])) == (2, [1, 2])


def test_an_instance_that_never_answers_is_no_proof(world: World) -> None:
    """Not managed by Systems Manager: exit code 7, and nothing left behind."""
    _second(world)

    class Everyone(set):  # type: ignore[type-arg]
        def __contains__(self, item: object) -> bool:
            return True

    world.gateway.model.offline = Everyone()

    result = world.publish("--canary", "--timeout", "0.01")

    assert result.code == 7, result.err
    assert "AmazonSSMManagedInstanceCore" in result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert _living(world) == []


def test_the_canary_is_said_in_the_plan(world: World) -> None:
    _second(world)

    result = world.publish("--canary", "--dry-run")

    assert "launch a canary of ipvs-nodes-al2023-x86_64 version (the new one), verify it, terminate it" in result.out
    assert "default of ipvs-nodes-al2023-x86_64: version 1 -> (the new one)" in result.out
