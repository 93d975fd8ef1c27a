"""`amigen publish` against a moto server over HTTP."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.publish.authority import Authority
from tests.publish.scenarios import SHARED
from tests.publish.stand_in.gateway import Fault, Gateway, Position
from tests.publish.stand_in.wire import Request
from tests.publish.world import BUILD_REGION, COPY_REGION, KEYS, World


def changes(world: World) -> list[str]:
    """The recorded calls that change something."""
    return [c.operation for c in world.gateway.calls if not c.operation.startswith(("Describe", "Get", "List"))]


def test_a_root_volume_smaller_than_the_snapshot_is_refused_by_the_plan(world: World) -> None:
    """EC2 would refuse the first launch, long after the default has moved."""
    world.write_spec("rootVolume: {sizeGiB: 8}", copy_regions="")
    world.build()

    result = world.publish("--dry-run")

    assert result.code == 13
    assert "smaller than the snapshot" in result.err
    assert "aws.rootVolume.sizeGiB" in result.err


def test_requirements_and_an_instance_type_are_refused_by_the_plan(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    ec2, template = world.client("ec2"), world.template()
    data = template["versions"][1]["LaunchTemplateData"]
    data["InstanceRequirements"] = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4096}}
    ec2.create_launch_template_version(LaunchTemplateId=template["LaunchTemplateId"], LaunchTemplateData=data)
    ec2.modify_launch_template(LaunchTemplateId=template["LaunchTemplateId"], DefaultVersion="2")
    world.write_spec("launchTemplate: {instanceTypes: {x86_64: m7i.large}}", copy_regions="")
    world.build(tag="2")

    result = world.publish("--set-default")

    assert result.code == 13
    assert "InstanceRequirements" in result.err
    assert world.template()["DefaultVersionNumber"] == 2


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


def test_one_template_per_platform_and_architecture(world: World) -> None:
    world.write_spec(platforms="al2023, ubuntu-24.04", copy_regions="")
    world.build()

    assert world.publish().code == 0

    names = [t["LaunchTemplateName"] for t in world.client("ec2").describe_launch_templates()["LaunchTemplates"]]
    assert sorted(names) == ["ipvs-nodes-al2023-x86_64", "ipvs-nodes-ubuntu-24.04-x86_64"]


def test_second_publish_changes_nothing(world: World) -> None:
    """Safe to repeat: the same end, and not one call that changes anything."""
    world.write_spec(SHARED)
    world.build()
    world.publish()
    before = world.end_state()
    world.gateway.start_counting()

    result = world.publish("--set-default")

    assert result.code == 0, result.err
    assert world.end_state() == before
    assert changes(world) == []
    assert result.out.count("nothing to do") == 2


def test_dry_run_changes_nothing(world: World) -> None:
    world.write_spec()
    world.build()
    before = world.end_state()

    result = world.publish("--dry-run")

    assert result.code == 0, result.err
    assert world.end_state() == before
    assert changes(world) == []
    assert "create launch template ipvs-nodes-al2023-x86_64" in result.out
    assert not (world.folder / "build" / "publish-ledger.json").exists()


def test_the_image_is_shared_with_its_encrypted_snapshots_and_deprecated(world: World) -> None:
    world.write_spec(SHARED)
    world.build(finished="2026-11-20T10:00:30Z")

    assert world.publish().code == 0

    ec2 = world.client("ec2", COPY_REGION)
    copy = ec2.describe_images(Owners=["self"])["Images"][0]
    permissions = ec2.describe_image_attribute(ImageId=copy["ImageId"], Attribute="launchPermission")
    assert permissions["LaunchPermissions"] == [{"UserId": "111122223333"}]
    snapshot = copy["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    attribute = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert attribute["CreateVolumePermissions"] == [{"UserId": "111122223333"}]
    assert world.gateway.gaps.deprecated[copy["ImageId"]].startswith("2027-11-20T10:00")
    request = world.gateway.named("CopyImage")[0].params
    assert (request["Encrypted"], request["KmsKeyId"]) in ((True, "alias/images"), ("true", "alias/images"))


def test_organisations_and_units_get_their_own_permissions(world: World) -> None:
    organization = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
    unit = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-abcd-abcdefgh"
    world.write_spec(
        "encryption: {enabled: false}\n"
        f"share:\n  organizations: ['{organization}']\n  organizationalUnits: ['{unit}']",
        copy_regions="",
    )
    world.build()

    assert world.publish().code == 0

    added = world.gateway.named("ModifyImageAttribute")[0].params["LaunchPermission"]["Add"]
    assert added == [{"OrganizationArn": organization}, {"OrganizationalUnitArn": unit}]
    assert world.gateway.named("ModifySnapshotAttribute") == []


def test_nobody_loses_a_share_that_the_spec_does_not_name(world: World) -> None:
    """It is told, not taken."""
    world.write_spec(SHARED, copy_regions="")
    world.build()
    image = world.images["al2023/x86_64"]
    world.client("ec2").modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": "999988887777"}]})

    result = world.publish()

    assert f"{image} is also shared with 999988887777, which the spec does not name; left" in result.out
    found = world.client("ec2").describe_image_attribute(ImageId=image, Attribute="launchPermission")
    assert {"UserId": "999988887777"} in found["LaunchPermissions"]


def test_the_diff_shows_user_data_by_line_and_no_secret(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    ec2 = world.client("ec2")
    data = world.template()["versions"][1]["LaunchTemplateData"]
    user_data = base64.b64encode(b"#!/bin/bash\nexport DB_PASSWORD=hunter2hunter2\necho mine\n").decode()
    ec2.create_launch_template_version(
        LaunchTemplateName="ipvs-nodes-al2023-x86_64",
        LaunchTemplateData={**data, "UserData": user_data, "KeyName": "ops", "InstanceType": "m5.large"},
    )
    ec2.modify_launch_template(LaunchTemplateName="ipvs-nodes-al2023-x86_64", DefaultVersion="2")
    world.write_spec("launchTemplate: {hopLimit: 2}", copy_regions="")
    world.build(tag="2")

    result = world.publish("--dry-run")

    assert "~ MetadataOptions.HttpPutResponseHopLimit: 1 -> 2" in result.out
    assert re.search(r"-echo mine", result.out)
    assert "DB_PASSWORD=(hidden)" in result.out
    assert "hunter2" not in result.out


def test_what_others_set_in_the_template_stays(world: World) -> None:
    """A new version is the default one with amigen's fields laid over it."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    ec2 = world.client("ec2")
    data = world.template()["versions"][1]["LaunchTemplateData"]
    disks = [*data["BlockDeviceMappings"], {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 100}}]
    ec2.create_launch_template_version(
        LaunchTemplateName="ipvs-nodes-al2023-x86_64",
        LaunchTemplateData={**data, "KeyName": "ops", "BlockDeviceMappings": disks},
    )
    ec2.modify_launch_template(LaunchTemplateName="ipvs-nodes-al2023-x86_64", DefaultVersion="2")
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")

    assert world.publish().code == 0

    new = world.template()["versions"][3]["LaunchTemplateData"]
    assert new["KeyName"] == "ops"
    assert sorted(d["DeviceName"] for d in new["BlockDeviceMappings"]) == ["/dev/sda1", "/dev/sdf"]
    assert new["ImageId"] == world.images["al2023/x86_64"]


def test_a_template_made_by_hand_is_taken_over_on_purpose_only(world: World) -> None:
    """Of this name, and nobody has said that it is ours; the printed policy would not let amigen touch it either."""
    world.write_spec(copy_regions="")
    world.build()
    ec2 = world.client("ec2")
    name = "ipvs-nodes-al2023-x86_64"
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "t3.small"})
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    world.gateway.authority = Authority(world.amigen("iam-policy", "--for", "publish").json, world.gateway)

    refused = world.publish()

    assert refused.code == 13, refused.err
    assert f"launch template {name} ({template}) in eu-central-1 has no tag amigen/name=ipvs-nodes" in refused.err
    command = (
        f"aws ec2 create-tags --region eu-central-1 --resources {template} --tags Key=amigen/name,Value=ipvs-nodes"
    )
    assert command in refused.err
    assert changes(world) == []
    ec2.create_tags(Resources=[template], Tags=[{"Key": "amigen/name", "Value": "ipvs-nodes"}])
    taken = world.publish()
    assert taken.code == 0, taken.err
    assert world.template()["versions"][2]["LaunchTemplateData"]["InstanceType"] == "t3.small"


def test_the_default_moves_only_when_asked(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")

    world.publish()
    assert world.template()["DefaultVersionNumber"] == 1
    world.publish("--set-default")
    assert world.template()["DefaultVersionNumber"] == 2
    assert len(world.template()["versions"]) == 2


def test_a_template_that_resolves_a_parameter_is_promoted_by_it(world: World) -> None:
    """The parameter is what groups launch: it moves with the default, and back with a rollback."""
    own = "launchTemplate: {resolveSsmParameter: true}"
    world.write_spec(own, copy_regions="")
    world.build(tag="1")
    world.publish()
    first = world.images["al2023/x86_64"]
    world.build(tag="2")
    second = world.images["al2023/x86_64"]

    def parameter() -> str:
        found = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")
        return str(found["Parameter"]["Value"])

    result = world.publish()
    assert result.code == 0, result.err
    assert parameter() == first
    assert "moves with --set-default" in result.out
    assert world.publish("--set-default").code == 0
    assert parameter() == second
    data = world.template()["versions"][2]["LaunchTemplateData"]
    assert data["ImageId"] == "resolve:ssm:/amigen/ipvs-nodes/al2023/x86_64"
    assert world.amigen("rollback", "--yes").code == 0
    assert parameter() == first


def test_of_two_publishers_one_wins_and_the_other_is_told(world: World) -> None:
    """Both saw version 1 as the newest; the second makes its own, different version 2 in between."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")
    other = World(moto=world.moto, gateway=world.gateway, folder=world.folder / "other")
    other.folder.mkdir()
    other.write_spec(scheduler="nq", copy_regions="")
    other.build(tag="3")
    results = []

    def meanwhile(request: Request) -> None:
        if request.operation == "CreateLaunchTemplateVersion":
            world.gateway.before = None
            thread = threading.Thread(target=lambda: results.append(other.publish("--set-default")))
            thread.start()
            thread.join(300)

    world.gateway.before = meanwhile

    mine = world.publish("--set-default")

    assert results[0].code == 0, results[0].err
    assert mine.code == 5
    assert "another publisher has just made the next version" in mine.err
    assert len(world.template()["versions"]) == 2
    assert world.template()["DefaultVersionNumber"] == 2


def test_of_two_first_publishers_one_makes_the_template(world: World) -> None:
    """Both saw none; its name is unique."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    other = World(moto=world.moto, gateway=world.gateway, folder=world.folder / "other")
    other.folder.mkdir()
    other.write_spec(scheduler="nq", copy_regions="")
    other.build(tag="2")
    results = []

    def meanwhile(request: Request) -> None:
        if request.operation == "CreateLaunchTemplate":
            world.gateway.before = None
            client = world.client("ssm")
            client.delete_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")
            thread = threading.Thread(target=lambda: results.append(other.publish()))
            thread.start()
            thread.join(300)

    world.gateway.before = meanwhile

    mine = world.publish()

    assert results[0].code == 0, results[0].err
    assert mine.code == 5, mine.err
    assert "another publisher has just made" in mine.err
    assert list(world.template()["versions"]) == [1]


def test_a_default_that_somebody_else_moved_is_not_moved_again(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    world.publish()
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")

    def meanwhile(request: Request) -> None:
        if request.operation == "CreateLaunchTemplateVersion":
            world.gateway.before = None
            ec2 = world.client("ec2")
            data = world.template()["versions"][1]["LaunchTemplateData"]
            name = "ipvs-nodes-al2023-x86_64"
            ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
            ec2.modify_launch_template(LaunchTemplateName=name, DefaultVersion="2")

    world.gateway.before = meanwhile

    result = world.publish("--set-default")

    assert result.code == 5
    assert "somebody else has changed it meanwhile" in result.err
    assert world.template()["DefaultVersionNumber"] == 2


def test_one_failing_region_does_not_hide_the_others(world: World) -> None:
    world.write_spec(copy_regions="eu-west-1, us-east-2")
    world.build()
    world.gateway.gaps.failing_regions = {"us-east-2"}

    result = world.publish()

    assert result.code == 10
    assert "al2023/x86_64/us-east-2: stopped" in result.out
    assert world.template(BUILD_REGION)
    assert world.template(COPY_REGION)
    world.gateway.gaps.failing_regions = set()
    world.gateway.start_counting()
    again = world.publish()
    assert again.code == 0, again.err
    assert {c.region for c in world.gateway.calls if c.operation in ("CopyImage", "CreateLaunchTemplate")} == {
        "us-east-2"
    }
    assert len(world.client("ec2", "us-east-2").describe_images(Owners=["self"])["Images"]) == 1


def _remove_copies(world: World) -> None:
    ec2 = world.client("ec2", COPY_REGION)
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        ec2.deregister_image(ImageId=image["ImageId"])


def test_a_copy_that_somebody_removed_is_made_anew(world: World) -> None:
    world.write_spec()
    world.build()
    for _ in range(3):
        _remove_copies(world)
        result = world.publish()
        assert result.code == 0, result.err
    assert len(world.client("ec2", COPY_REGION).describe_images(Owners=["self"])["Images"]) == 1


@pytest.mark.parametrize("state", ["failed", "error", "invalid"])
def test_a_copy_that_is_no_image_is_removed_and_made_anew(world: World, state: str) -> None:
    """Whatever EC2 calls it: it is not used, and its name is in the way of the next."""
    world.write_spec()
    world.build()
    world.gateway.gaps.failing_regions, world.gateway.gaps.failed_state = {COPY_REGION}, state

    first = world.publish()
    world.gateway.gaps.failing_regions = set()
    second = world.publish()

    assert (first.code, second.code) == (10, 0), first.err + second.err
    assert f"in {COPY_REGION} is {state}" in first.err
    assert "remove the failed copy ami-" in second.out
    assert len(world.client("ec2", COPY_REGION).describe_images(Owners=["self"])["Images"]) == 1


def test_a_removed_copy_without_a_ledger_takes_a_run_to_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 answers to the token of a copy that is gone with its id."""
    world.write_spec()
    world.build()
    assert world.publish().code == 0
    _remove_copies(world)
    world.record_path.with_name("publish-ledger.json").unlink()
    monkeypatch.setattr("amigen.publish.image_steps.VISIBLE_SECONDS", 0)

    said = world.publish()

    assert said.code == 10
    assert f"is not in {COPY_REGION}: it was deregistered\n  hint: run again: another copy is made" in said.err
    again = world.publish()
    assert again.code == 0, again.err
    assert len(world.client("ec2", COPY_REGION).describe_images(Owners=["self"])["Images"]) == 1


def test_a_copy_that_takes_long_is_followed(world: World) -> None:
    world.write_spec()
    world.build()
    world.gateway.gaps.pending_looks = 2

    result = world.publish()

    assert result.code == 0, result.err
    assert re.search(r"al2023/x86_64/eu-west-1: ami-\w+: pending \(0:0\d\)", result.err)
    assert re.search(r"al2023/x86_64/eu-west-1: ami-\w+: available", result.err)


def test_a_single_throttled_call_is_not_even_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's own retries, as the user's configuration says."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    world.write_spec()
    world.build()
    world.publish("--dry-run")
    position = next(p for p in world.gateway.positions() if p.operation == "DescribeLaunchTemplates")
    world.gateway.start_counting()
    world.gateway.fault = Fault(at=position, kind="throttled")

    result = world.publish()

    assert (result.code, world.gateway.fault_hits) == (0, 1), result.err


def test_the_ledger_says_how_far_it_is(world: World) -> None:
    world.write_spec()
    world.build()
    world.publish()

    entry = world.ledger["entries"]["al2023/x86_64/eu-west-1"]
    assert {"built", "copied", "parameter", "template"} <= set(entry["steps"])
    assert entry["built"] == world.images["al2023/x86_64"]
    assert entry["template"] == world.template(COPY_REGION)["LaunchTemplateId"]


def test_a_lost_ledger_costs_nothing(world: World) -> None:
    world.write_spec()
    world.build()
    world.publish()
    (world.folder / "build" / "publish-ledger.json").unlink()
    before = world.end_state()
    world.gateway.start_counting()

    assert world.publish().code == 0
    assert changes(world) == []
    assert world.end_state() == before


def test_a_ledger_that_is_a_folder_is_said(world: World) -> None:
    world.write_spec()
    world.build()
    path = world.record_path.with_name("publish-ledger.json")
    path.mkdir()

    result = world.publish()
    path.rmdir()

    assert result.code == 14, result.err
    assert f"{path}: Is a directory" in result.err
    assert "Traceback" not in result.err
    assert changes(world) == []


def test_a_second_publisher_on_this_machine_is_told(world: World) -> None:
    from amigen.publish.ledger import open_ledger

    world.write_spec()
    world.build()
    with open_ledger(world.folder / "build" / "publish-ledger.json", "ipvs-nodes"):
        result = world.publish()

    assert result.code == 5
    assert "another publish is using" in result.err


def test_without_a_terminal_it_wants_yes(world: World) -> None:
    world.write_spec()
    world.build()

    result = world.amigen("publish", "--record", str(world.record_path))

    assert result.code == 13
    assert "--yes" in result.err
    assert changes(world) == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--region", "us-west-1"), 14, "us-west-1 is not a region of this spec"),
        (("--platform", "debian-12"), 14, "debian-12 is not a platform of this spec"),
        (("--external-id", "x"), 14, "--external-id belongs to --role-arn"),
        (("--rollout", "asg:x@eu-west-1"), 14, "add --set-default or --canary"),
        (("--profile", "nobody"), 10, "nobody"),
    ],
)
def test_wrong_options_are_explained(world: World, args: tuple[str, ...], code: int, said: str) -> None:
    world.write_spec()
    world.build()

    result = world.publish(*args)

    assert result.code == code, result.err
    assert said in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("other", [("--set-default",), ("--canary",), ("--rollout", "asg:x@eu-west-1")])
def test_images_only_and_what_needs_templates_exclude_each_other(world: World, other: tuple[str, ...]) -> None:
    """Nothing that was asked for is left undone without a word."""
    world.write_spec()
    world.build()

    result = world.publish("--images-only", *other)

    assert result.code == 2, result.err
    assert f"--images-only does not change templates, but {other[0]} is about them" in result.err
    assert world.gateway.calls == []


def test_a_canary_subnet_needs_a_canary(world: World) -> None:
    world.write_spec()
    world.build()

    result = world.publish("--canary-subnet", "eu-central-1=subnet-1")

    assert result.code == 2, result.err
    assert "--canary-subnet belongs to --canary" in result.err


def test_a_record_of_another_spec_is_refused(world: World) -> None:
    world.write_spec()
    world.build()
    world.write_spec(scheduler="sed")

    refused = world.publish()
    taken = world.publish("--keep-image")

    assert refused.code == 13
    assert "the spec has changed since" in refused.err
    assert taken.code == 0, taken.err


def test_an_image_that_was_not_verified_is_refused(world: World) -> None:
    world.write_spec()
    world.build()
    text = world.record_path.read_text()
    world.record_path.write_text(text.replace('"verified": true', '"verified": false'))

    result = world.publish()

    assert result.code == 13
    assert "have not passed" in result.err


def test_a_local_image_is_refused(world: World) -> None:
    world.write_spec()
    world.build()
    document = json.loads(world.record_path.read_text())
    document["images"][0] |= {"region": "", "imageId": ""}
    world.record_path.write_text(json.dumps(document))

    result = world.publish()

    assert result.code == 14
    assert "al2023/x86_64 is not an AMI" in result.err


def test_each_region_encrypts_with_its_own_key(world: World) -> None:
    world.write_spec(
        "encryption:\n  kmsKeyId: alias/images\n  regionKmsKeyIds: {eu-west-1: alias/west}",
        copy_regions="eu-west-1, us-east-2",
    )
    world.build()

    assert world.publish().code == 0

    keys = {call.region: call.params["KmsKeyId"] for call in world.gateway.named("CopyImage")}
    assert keys == {"eu-west-1": "alias/west", "us-east-2": "alias/images"}


def test_no_record_says_what_to_do(world: World) -> None:
    world.write_spec()

    result = world.publish()

    assert result.code == 14
    assert "amigen build" in result.err


def test_an_image_that_is_gone_is_refused(world: World) -> None:
    world.write_spec()
    world.build()
    world.client("ec2").deregister_image(ImageId=world.images["al2023/x86_64"])

    result = world.publish()

    assert result.code == 13
    assert "does not exist in eu-central-1" in result.err


def test_a_role_of_a_profile_is_assumed(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Profile, source profile and endpoint come from the shared configuration, as for every AWS tool."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        "[profile base]\naws_access_key_id = testing\naws_secret_access_key = never-shown-in-any-log\n"
        "[profile images]\nrole_arn = arn:aws:iam::123456789012:role/images\nsource_profile = base\n"
        f"endpoint_url = {world.gateway.url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    world.write_spec()
    world.build()

    result = world.publish("--profile", "images", "--dry-run")

    assert result.code == 0, result.err
    assert world.gateway.named("AssumeRole")[0].params["RoleArn"].endswith("role/images")


def test_a_role_on_the_command_line_is_assumed(world: World) -> None:
    world.write_spec()
    world.build()

    result = world.publish(
        "--role-arn",
        "arn:aws:iam::123456789012:role/images",
        "--external-id",
        "e1",
        "--dry-run",
        "--endpoint-url",
        world.gateway.url,
    )

    assert result.code == 0, result.err
    assert world.gateway.named("AssumeRole")[0].params["ExternalId"] == "e1"


def test_no_credentials_are_explained(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        if "KEY" in name:
            monkeypatch.delenv(name)
    world.write_spec()
    world.build()

    result = world.publish("--dry-run")

    assert result.code == 10
    assert "aws sso login" in result.err


def test_json_is_whole_and_alone_on_stdout(world: World) -> None:
    world.write_spec()
    world.build()

    planned = world.publish("--dry-run", "--output", "json").json
    done = world.publish("--output", "json").json

    assert [a["step"] for a in planned["places"][1]["actions"]] == ["copied", "parameter", "template"]
    assert done["places"][1]["version"] == 1
    assert done["places"][1]["error"] is None
    assert len(done["places"][1]["done"]) == 3


def test_no_secret_is_written_anywhere(world: World) -> None:
    world.write_spec()
    world.build()

    result = world.publish()

    written = "".join(p.read_text(errors="replace") for p in world.folder.rglob("*") if p.is_file())
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in written + result.out + result.err


def test_positions_tell_calls_apart() -> None:
    """The tests of faults rest on it."""
    from tests.publish.stand_in.gateway import content_of

    first = Request(service="ec2", operation="X", region="r", params={"ImageId": "ami-0123456789abcdef0"})
    second = Request(service="ec2", operation="X", region="r", params={"ImageId": "ami-fedcba98765432100"})
    third = Request(service="ec2", operation="X", region="r", params={"ImageIds": ["ami-fedcba98765432100"]})
    assert content_of(first) == content_of(second) != content_of(third)
    assert Position(region="r", service="ec2", operation="X", content="a", number=1)


def test_half_a_request_is_none() -> None:
    """A command that is killed while it sends must not look like a fault of the stand-in."""
    with Gateway(moto="http://127.0.0.1:1") as gateway:
        address = urlsplit(gateway.url)
        with socket.create_connection(("127.0.0.1", address.port or 0), timeout=60) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nActi")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        assert (gateway.broken, gateway.calls) == ([], [])
