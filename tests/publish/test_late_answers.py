"""What AWS says late, or says with more than it was told: waited for, within a bound, and taken for what it is."""

from __future__ import annotations

import itertools

import pytest

from tests.publish.groups import GROUP, groups_of_a_first_publish
from tests.publish.stand_in.wire import Request, Response, read_response, write_response
from tests.publish.world import BUILD_REGION, World


def _parameter(world: World, region: str = BUILD_REGION) -> str:
    found = world.client("ssm", region).get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")
    return str(found["Parameter"]["Value"])


def test_a_parameter_that_shows_late_is_waited_for(world: World) -> None:
    """SSM says 200 before it has checked the image: a template that resolves the parameter comes after it is there."""
    world.write_spec("launchTemplate: {resolveSsmParameter: true}", copy_regions="")
    world.build(tag="1")
    world.gateway.model.late_parameters = 3

    result = world.publish()

    assert result.code == 0, result.err
    assert _parameter(world) == world.images["al2023/x86_64"]
    operations = [call.operation for call in world.gateway.calls]
    assert operations[operations.index("PutParameter") :][:6] == [
        "PutParameter",
        *["GetParameter"] * 4,
        "CreateLaunchTemplate",
    ]


@pytest.mark.parametrize("resolves", ["true", "false"])
def test_a_parameter_that_is_refused_afterwards_is_no_promotion(
    world: World, monkeypatch: pytest.MonkeyPatch, resolves: str
) -> None:
    """200, and then the check fails: the default stays where it was, with what it launches."""
    monkeypatch.setattr("amigen.publish.promote.PARAMETER_SECONDS", 0.0)
    own = f"launchTemplate: {{resolveSsmParameter: {resolves}}}"
    world.write_spec(own, copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    first = world.images["al2023/x86_64"]
    world.write_spec(own, scheduler="sed", copy_regions="")
    world.build(tag="2")
    world.gateway.model.refuse_parameters = True

    result = world.publish("--set-default")

    assert result.code == 10, result.err
    assert f"is still {first}" in result.err
    assert f"is {world.images['al2023/x86_64']} available to this account in {BUILD_REGION}?" in result.err
    assert (_parameter(world), world.template()["DefaultVersionNumber"]) == (first, 1)
    world.gateway.model.refuse_parameters = False
    assert world.publish("--set-default").code == 0
    assert (_parameter(world), world.template()["DefaultVersionNumber"]) == (world.images["al2023/x86_64"], 2)


def test_a_look_that_is_behind_is_no_other_publisher(world: World) -> None:
    """EC2 is eventually consistent: right after the default has moved, a look may see it where it was."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")
    world.gateway.gaps.stale_looks = 2

    there = world.publish("--set-default")
    back = world.amigen("rollback", "--yes")

    assert (there.code, back.code) == (0, 0), there.err + back.err
    assert world.template()["DefaultVersionNumber"] == 1


@pytest.mark.parametrize(("behind", "code"), [(1, 0), (99, 5)])
def test_a_rollout_does_not_go_to_the_version_before(world: World, behind: int, code: int) -> None:
    """Behind by one look: the next one is right. For good: somebody else has moved it, and nothing is rolled out."""
    groups_of_a_first_publish(world, "1")
    looks = itertools.count()

    def old(request: Request, response: Response) -> Response:
        moved = BUILD_REGION in {call.region for call in world.gateway.named("ModifyLaunchTemplate")}
        if (request.operation, request.region) != ("DescribeLaunchTemplates", BUILD_REGION) or not moved:
            return response
        found = read_response(request, response)
        # The first look after the move is that of the move itself.
        if 0 < next(looks) <= behind:
            found["LaunchTemplates"][0]["DefaultVersionNumber"] = 1
        return write_response(request, found)

    world.gateway.spoil = old
    result = world.publish("--set-default", "--rollout", GROUP)

    assert result.code == code, result.err
    started = [call.params["DesiredConfiguration"] for call in world.gateway.named("StartInstanceRefresh")]
    assert [each["LaunchTemplate"]["Version"] for each in started] == ([] if code else ["2"])
    assert ("is version 1, not 2: somebody else has changed it meanwhile" in result.err) == bool(code)


def test_a_default_that_is_moved_on_right_after_is_told(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")

    def meanwhile(request: Request) -> None:
        if request.operation == "DescribeLaunchTemplates" and world.gateway.named("ModifyLaunchTemplate"):
            world.client("ec2").modify_launch_template(
                LaunchTemplateName="ipvs-nodes-al2023-x86_64", DefaultVersion="1"
            )

    world.gateway.before = meanwhile

    result = world.publish("--set-default")

    assert result.code == 5
    assert "the default of launch template ipvs-nodes-al2023-x86_64 in eu-central-1 is version 1, not 2" in result.err


@pytest.mark.parametrize("default", ["1", "2"])
def test_what_ec2_adds_to_its_answers_is_no_change(world: World, default: str) -> None:
    """EC2 need not answer with just what it was told: fields with its own defaults, in amigen's structures and beside.

    What the spec itself takes away is one.
    """
    own = "rootVolume: {throughput: 250}"
    world.write_spec(own, copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(own, scheduler="sed", copy_regions="")
    world.build(tag="2")

    def adds(request: Request, response: Response) -> Response:
        if request.operation != "DescribeLaunchTemplateVersions":
            return response
        found = read_response(request, response)
        for version in found["LaunchTemplateVersions"]:
            data = version["LaunchTemplateData"]
            data["DisableApiStop"] = False
            data["MetadataOptions"]["HttpProtocolIpv6"] = "disabled"
            for disk in data["BlockDeviceMappings"]:
                disk["Ebs"] |= {"Encrypted": True, "VolumeInitializationRate": 100}
        return write_response(request, found)

    world.gateway.spoil = adds
    runs = [world.publish(*(["--set-default"] if default == "2" else [])) for _ in range(3)]
    drift = world.amigen("images", "drift", "--no-base")

    assert [run.code for run in runs] == [0, 0, 0], runs[0].err
    assert "nothing to do" in runs[1].out
    assert world.template()["LatestVersionNumber"] == 2
    assert drift.code == (0 if default == "2" else 4), drift.out
    assert ("as the spec says" in drift.out) == (default == "2")
    world.write_spec("rootVolume: {throughput: 500}", scheduler="sed", copy_regions="")
    assert world.publish("--keep-image").code == 0
    assert world.template()["LatestVersionNumber"] == 3
