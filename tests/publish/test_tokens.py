"""What EC2 remembers longer than it lasts, and what it could not validate."""

from __future__ import annotations

import pytest

from tests.publish.world import BUILD_REGION, COPY_REGION, World

TEMPLATE = "ipvs-nodes-al2023-x86_64"


@pytest.fixture(autouse=True)
def _no_long_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amigen.publish.template_steps._VERSION_SECONDS", 0.5)


def test_a_template_that_was_deleted_is_made_anew(world: World) -> None:
    """Its token is used up: EC2 answers it with the template that is gone."""
    world.write_spec(copy_regions="")
    world.build()
    assert world.publish().code == 0
    world.client("ec2").delete_launch_template(LaunchTemplateName=TEMPLATE)

    result = world.publish()

    assert result.code == 0, result.err
    assert "the next one" in result.err
    assert world.template()["DefaultVersionNumber"] == 1
    tokens = [call.params["ClientToken"] for call in world.gateway.named("CreateLaunchTemplate")]
    assert len(set(tokens)) == 2


@pytest.mark.parametrize("kind", ["gone", "mismatches"])
def test_a_version_whose_token_is_used_up_is_made_with_the_next(world: World, kind: str) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")
    setattr(world.gateway.gaps, kind, {"CreateLaunchTemplateVersion": 2})

    result = world.publish("--set-default")

    assert result.code == 0, result.err
    assert world.template()["DefaultVersionNumber"] == 2
    assert len({call.params["ClientToken"] for call in world.gateway.named("CreateLaunchTemplateVersion")}) == 3


def test_a_canary_whose_token_is_used_up_is_launched_with_another(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.gateway.gaps.mismatches = {"RunInstances": 1}
    assert world.publish("--canary").code == 10
    world.gateway.gaps.mismatches = {"RunInstances": 1}

    result = world.publish("--canary")

    assert result.code == 0, result.err


def test_a_warning_is_shown_and_stops_the_default(world: World) -> None:
    """The next run, which makes no version, is stopped, too; a canary proves what EC2 could not."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")
    world.gateway.gaps.warning = "The subnet ID 'subnet-1' does not exist"

    results = [world.publish("--set-default"), world.publish("--set-default")]

    assert [result.code for result in results] == [13, 13]
    assert all("subnet-1" in result.err for result in results)
    assert world.template()["DefaultVersionNumber"] == 1
    assert world.publish("--canary").code == 0
    assert world.template()["DefaultVersionNumber"] == 2


def test_a_copy_that_came_out_encrypted_is_shared_with_its_snapshots(world: World) -> None:
    """By the account's default, which the spec does not know of."""
    world.write_spec('encryption: {enabled: false}\nshare:\n  accounts: ["111122223333"]')
    world.build()
    world.gateway.gaps.encrypted_by_default = True

    assert world.publish().code == 0

    shared = world.gateway.named("ModifySnapshotAttribute")
    assert [call.region for call in shared] == [COPY_REGION]
    assert BUILD_REGION not in {call.region for call in shared}
