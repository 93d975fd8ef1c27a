"""Running nodes: an Auto Scaling group and a managed node group of a first publish, instances with tags."""

from __future__ import annotations

from tests.publish.world import BUILD_REGION, World

GROUP = "asg:workers@eu-central-1"
NODES = "nodegroup:prod/workers@eu-central-1"


def groups_of_a_first_publish(world: World, version: str) -> None:
    """A first publish, and groups that run it (the Auto Scaling group by this version); then a second image."""
    world.write_spec()
    world.build(tag="1")
    assert world.publish().code == 0
    template = world.template(BUILD_REGION)["LaunchTemplateId"]
    world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=1,
        LaunchTemplate={"LaunchTemplateId": template, "Version": version},
        AvailabilityZones=["eu-central-1a"],
    )
    group = world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    world.gateway.gaps.launched_from = {i["InstanceId"]: "1" for i in group["Instances"]}
    world.gateway.model.nodegroups["prod", "workers"] = {
        "clusterName": "prod",
        "nodegroupName": "workers",
        "launchTemplate": {"id": template, "version": "1"},
    }
    world.write_spec(scheduler="sed")
    world.build(tag="2")


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
