"""`amigen publish` against a moto server over HTTP."""

from __future__ import annotations

import base64

from tests.publish.world import BUILD_REGION, COPY_REGION, World


def test_first_publish_makes_everything(world: World) -> None:
    """Copy, parameter and template are there in every region, and the template is safe by default."""
    world.write_spec()
    world.build()

    result = world.publish()

    assert result.code == 0, result.err
    for region in (BUILD_REGION, COPY_REGION):
        template = world.template(region)
        data = template["versions"][1]["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert base64.b64decode(data["UserData"]).startswith((b"#!", b"MIME-Version"))
        parameter = world.client("ssm", region).get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]
        assert parameter["Value"] == data["ImageId"]
    assert world.template(BUILD_REGION)["versions"][1]["LaunchTemplateData"]["ImageId"] == world.images["al2023/x86_64"]


def test_second_publish_changes_nothing(world: World) -> None:
    """Safe to repeat: the same end, and not one call that changes anything."""
    world.write_spec()
    world.build()
    world.publish()
    before = world.end_state()
    world.gateway.start_counting()

    result = world.publish("--set-default")

    assert result.code == 0, result.err
    assert world.end_state() == before
    assert [c.operation for c in world.gateway.calls if not c.operation.startswith(("Describe", "Get"))] == []
    assert "nothing to do" in result.out


def test_dry_run_changes_nothing(world: World) -> None:
    world.write_spec()
    world.build()
    before = world.end_state()

    result = world.publish("--dry-run")

    assert result.code == 0, result.err
    assert world.end_state() == before
    assert "create launch template ipvs-nodes-al2023-x86_64" in result.out
