"""`amigen images prune`: what fleets and overrides name, what cannot be removed, regions that have left the spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.publish.stand_in.wire import Refusal, Request, Response, read_response, write_response
from tests.publish.world import BUILD_REGION, COPY_REGION, Result, World


def old_images(world: World, count: int, region: str = BUILD_REGION) -> list[str]:
    """Used by nothing, each a year older than the next."""
    world.write_spec(copy_regions="")
    tags = {"amigen/name": "ipvs-nodes", "amigen/platform": "al2023", "amigen/architecture": "x86_64"}
    images = [world.make_image(f"ipvs-nodes-{number}", tags, region) for number in range(count)]
    for number, image in enumerate(images):
        world.gateway.gaps.image_dates[image] = f"{2020 + number}-01-01T00:00:00.000Z"
    return images


def prune(world: World, *args: str) -> Result:
    return world.amigen("images", "prune", "--keep", "1", "--older-than", "30", "--output", "json", *args)


def why(result: Result) -> dict[str, str | None]:
    return {image["image"]: image["why"] for region in result.json["regions"] for image in region["images"]}


def own(world: World, region: str = BUILD_REGION) -> list[str]:
    return [i["ImageId"] for i in world.client("ec2", region).describe_images(Owners=["self"])["Images"]]


def _template(world: World, image: str) -> dict[str, str]:
    """Version 1 has the image; it is neither the default nor the latest."""
    ec2 = world.client("ec2")
    made = ec2.create_launch_template(
        LaunchTemplateName="other", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.small"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    data = {"ImageId": "ami-12345678", "InstanceType": "t3.small"}
    ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=data)
    ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
    return {"LaunchTemplateId": made, "Version": "1"}


def _fleet(world: World, image: str) -> None:
    world.client("ec2").create_fleet(
        Type="maintain",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": _template(world, image)}],
        TargetCapacitySpecification={"TotalTargetCapacity": 0, "DefaultTargetCapacityType": "on-demand"},
    )


def _spot_fleet(world: World, image: str) -> None:
    specification = {"ImageId": image, "InstanceType": "t3.small", "SubnetId": _subnet(world)}
    world.client("ec2").request_spot_fleet(
        SpotFleetRequestConfig={
            "TargetCapacity": 0,
            "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
            "AllocationStrategy": "lowestPrice",
            "LaunchSpecifications": [specification],
        }
    )


def _spot_request(world: World, image: str) -> None:
    world.client("ec2").request_spot_instances(
        SpotPrice="0.1", Type="persistent", LaunchSpecification={"ImageId": image, "InstanceType": "t3.small"}
    )
    _terminate_all(world)


def _override(world: World, image: str) -> None:
    """An override of a group may have an image of its own."""
    specification = {**_template(world, "ami-12345678"), "Version": "2"}
    overrides = [{"InstanceType": "m6g.large"}]
    world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="g",
        AvailabilityZones=["eu-central-1a"],
        MinSize=0,
        MaxSize=1,
        MixedInstancesPolicy={"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}},
    )

    def with_image(item: dict[str, Any]) -> None:
        item["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"][0]["ImageId"] = image

    world.gateway.spoil = _each("DescribeAutoScalingGroups", "AutoScalingGroups", with_image)


def _each(operation: str, key: str, change: Callable[[Any], None]) -> Callable[[Request, Response], Response]:
    """What moto does not keep: something added to each item of an answer."""

    def spoil(request: Request, response: Response) -> Response:
        if request.operation != operation or response.status != 200:
            return response
        found = read_response(request, response)
        for item in found[key]:
            change(item)
        return write_response(request, found)

    return spoil


def _subnet(world: World) -> str:
    subnet: str = world.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    return subnet


def _terminate_all(world: World) -> None:
    ec2 = world.client("ec2")
    instances = [i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    ec2.terminate_instances(InstanceIds=instances)


@pytest.mark.parametrize(
    ("refer", "said"),
    [
        (_fleet, "used by launch template other version 1"),
        (_spot_fleet, "used by Spot Fleet sfr-"),
        (_spot_request, "used by Spot request "),
        (_override, "used by Auto Scaling group g"),
    ],
    ids=["fleet", "spot-fleet", "spot-request", "override"],
)
def test_what_a_fleet_or_an_override_names_stays(world: World, refer: Callable[[World, str], None], said: str) -> None:
    images = old_images(world, 3)
    refer(world, images[0])

    result = prune(world)

    assert result.code == 0, result.err
    reasons = why(result)
    assert (reasons[images[0]] or "").startswith(said)
    assert reasons[images[1]] is None


def test_images_that_an_old_boto3_cannot_see_stop_everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves out of an answer what it does not know."""
    images = old_images(world, 3)
    _override(world, images[0])
    monkeypatch.setattr("amigen.aws.model.knows", lambda *_: False)

    result = prune(world, "--apply", "--yes")

    assert result.code == 7
    assert "update botocore" in result.err
    assert own(world) == images


def test_a_fleet_that_is_deleted_keeps_nothing(world: World) -> None:
    images = old_images(world, 2)
    _fleet(world, images[0])
    deleted = {"FleetState": "deleted_running"}
    world.gateway.spoil = _each("DescribeFleets", "Fleets", lambda fleet: fleet.update(deleted))

    assert why(prune(world))[images[0]] is None


# -- what cannot be removed --------------------------------------------------------------------------------------------


def test_one_that_cannot_be_removed_does_not_keep_the_others(world: World) -> None:
    images = old_images(world, 4)

    def refused(request: Request) -> None:
        if request.operation == "DeregisterImage" and request.params["ImageId"] == images[2]:
            raise Refusal("OperationNotPermitted", "deregistration protection is enabled")

    world.gateway.authority = refused

    result = prune(world, "--apply", "--yes")

    assert result.code == 10
    assert own(world) == images[2:]
    (region,) = result.json["regions"]
    assert [each["what"] for each in region["failed"]] == [images[2]]
    assert set(images[:2]) <= set(region["removed"])
    assert f"{BUILD_REGION}: {images[2]}: ec2:DeregisterImage in {BUILD_REGION}" in result.err


def test_what_concerns_all_ends_a_region(world: World) -> None:
    """Expired credentials: not one failure for each image."""
    old_images(world, 4)

    def refused(request: Request) -> None:
        if request.operation == "DeregisterImage":
            raise Refusal("RequestExpired", "Request has expired")

    world.gateway.authority = refused

    assert prune(world, "--apply", "--yes").code == 10
    assert len(world.gateway.named("DeregisterImage")) == 1


def test_protected_and_disabled_images_are_shown_and_stay(world: World) -> None:
    """Somebody keeps them on purpose; that is no failure."""
    images = old_images(world, 4)
    world.gateway.gaps.protected = {images[0]}
    world.gateway.gaps.disabled = {images[1]}

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert why(result)[images[0]] == "is protected from deregistration"
    assert why(result)[images[1]] == "is disabled, and so kept by somebody"
    assert set(own(world)) == {images[0], images[1], images[3]}


def _lives_on(image: str, snapshot: str) -> Callable[[Any], None]:
    def change(item: dict[str, Any]) -> None:
        if item["ImageId"] == image:
            item["BlockDeviceMappings"].append({"DeviceName": "/dev/xvdb", "Ebs": {"SnapshotId": snapshot}})

    return change


def test_a_snapshot_of_another_image_is_not_said_to_be_removed(world: World) -> None:
    """Nor tried again by each run."""
    images = old_images(world, 3)
    disks = world.client("ec2").describe_images(ImageIds=[images[0]])["Images"][0]["BlockDeviceMappings"]
    snapshot = disks[0]["Ebs"]["SnapshotId"]

    def refused(request: Request) -> None:
        if request.operation == "DeleteSnapshot" and request.params["SnapshotId"] == snapshot:
            raise Refusal("InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {images[2]}")

    world.gateway.authority = refused
    world.gateway.spoil = _each("DescribeImages", "Images", _lives_on(images[2], snapshot))

    first = prune(world, "--apply", "--yes")
    second = prune(world, "--apply", "--yes")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    removed = first.json["regions"][0]["removed"]
    assert images[0] in removed
    assert snapshot not in removed
    assert f"{snapshot} are kept: another image uses them" in first.err
    assert second.json["regions"][0]["leftoverSnapshots"] == []
    assert second.json["regions"][0]["removed"] == []


# -- regions -----------------------------------------------------------------------------------------------------------


def test_a_region_that_has_left_the_spec_can_be_named(world: World) -> None:
    images = old_images(world, 2, COPY_REGION)
    world.policed = False  # the printed policy names only the regions of the spec

    listed = world.amigen("images", "list", "--region", COPY_REGION)
    result = prune(world, "--region", COPY_REGION, "--apply", "--yes")

    assert (listed.code, result.code) == (0, 0), listed.err + result.err
    assert images[0] in listed.out
    assert own(world, COPY_REGION) == images[1:]


def test_a_word_that_is_no_region_is_refused(world: World) -> None:
    world.write_spec()

    result = prune(world, "--region", "europe")

    assert result.code == 14
    assert "europe is not a region" in result.err
