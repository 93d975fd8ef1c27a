"""Running nodes: an Auto Scaling group and a managed node group of a first publish, instances with tags."""

from __future__ import annotations

from typing import Any

from tests.publish.world import BUILD_REGION, World

GROUP = "asg:workers@eu-central-1"
NODES = "nodegroup:prod/workers@eu-central-1"


def groups_of_a_first_publish(world: World, version: str) -> None:
    """A first publish, and groups that run it (the Auto Scaling group by this version); then a second image."""
    world.write_spec()
    world.build(tag="1")
    assert world.publish().code == 0
    template = world.template(BUILD_REGION)["LaunchTemplateId"]
    auto_scaling_group(world, "workers", version)
    world.gateway.model.nodegroups["prod", "workers"] = {
        "clusterName": "prod",
        "nodegroupName": "workers",
        "launchTemplate": {"id": template, "version": "1"},
    }
    world.write_spec(scheduler="sed")
    world.build(tag="2")


def auto_scaling_group(world: World, name: str, version: str = "1", **more: Any) -> None:
    """One of the template, or of `more`; its instances are of version 1."""
    template = {"LaunchTemplateId": world.template(BUILD_REGION)["LaunchTemplateId"], "Version": version}
    world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=1,
        AvailabilityZones=["eu-central-1a"],
        **(more or {"LaunchTemplate": template}),
    )
    world.gateway.gaps.launched_from |= {i["InstanceId"]: "1" for i in described(world, name)["Instances"]}


def described(world: World, name: str = "workers") -> dict[str, Any]:
    """An Auto Scaling group as it is now."""
    found = world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    group: dict[str, Any] = found["AutoScalingGroups"][0]
    return group


def launch(
    world: World, count: int = 1, region: str = BUILD_REGION, *, image: str = "ami-12345678", **tags: str
) -> list[str]:
    """Running nodes of the spec."""
    named = {"amigen/name": "ipvs-nodes", "amigen/platform": "al2023", **tags}
    specification = {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in named.items()]}
    made = world.client("ec2", region).run_instances(
        ImageId=image, MinCount=count, MaxCount=count, TagSpecifications=[specification]
    )
    return [instance["InstanceId"] for instance in made["Instances"]]
