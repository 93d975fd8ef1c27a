"""Runs that are made to fail at every call: what stands before, the command, and what must stand in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.publish.world import COPY_REGION, World

SHARED = """\
share:
  accounts: ["111122223333"]
encryption:
  kmsKeyId: alias/images
deprecateAfterDays: 365
tags: {team: nodes}"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command on a prepared account.

    Attributes:
        changes: Operations that change something: cut before and after each of them.
    """

    name: str
    prepare: Callable[[World], None]
    args: tuple[str, ...]
    changes: frozenset[str]

    def command(self, world: World) -> tuple[str, ...]:
        """The arguments, with the paths of this world."""
        return tuple(a.replace("{record}", str(world.record_path)) for a in self.args)


def _first_publish(world: World) -> None:
    world.write_spec(SHARED)
    world.build()


def _second_publish(world: World) -> None:
    """A first publish is there; the spec and the image have changed since."""
    world.write_spec()
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(SHARED, scheduler="sed")
    world.build(tag="2", finished="2026-11-21T10:00:00Z")


def _published_twice(world: World) -> None:
    _second_publish(world)
    assert world.publish("--set-default").code == 0


def _old_images(world: World) -> None:
    """Three generations by builds of their own; the first two are used by nothing."""
    for generation in "123":
        world.write_spec(scheduler={"1": "rr", "2": "sed", "3": "nq"}[generation])
        world.build(tag=generation)
        assert world.publish("--set-default").code == 0
        for region in ("eu-central-1", COPY_REGION):
            for image in world.client("ec2", region).describe_images(Owners=["self"])["Images"]:
                date = f"2026-0{generation}-01T00:00:00.000Z"
                world.gateway.gaps.image_dates.setdefault(image["ImageId"], date)


def _first_publish_with_groups(world: World) -> None:
    """An Auto Scaling group and a node group run the first version; then there is another image."""
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    template = world.template()["LaunchTemplateId"]
    world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=1,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        AvailabilityZones=["eu-central-1a"],
    )
    group = world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    world.gateway.gaps.launched_from = {i["InstanceId"]: "1" for i in group["Instances"]}
    world.gateway.model.nodegroups["prod", "workers"] = {
        "clusterName": "prod",
        "nodegroupName": "workers",
        "launchTemplate": {"id": template, "version": "1"},
    }
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2", finished="2026-11-21T10:00:00Z")


def _nodes(world: World) -> None:
    """Running nodes in both regions."""
    world.write_spec()
    tags = [{"Key": "amigen/name", "Value": "ipvs-nodes"}, {"Key": "amigen/platform", "Value": "al2023"}]
    for region in ("eu-central-1", COPY_REGION):
        world.client("ec2", region).run_instances(
            ImageId="ami-12345678",
            MinCount=2,
            MaxCount=2,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )


_MADE = frozenset(
    {
        "CopyImage",
        "CreateTags",
        "ModifyImageAttribute",
        "ModifySnapshotAttribute",
        "EnableImageDeprecation",
        "PutParameter",
        "CreateLaunchTemplate",
        "CreateLaunchTemplateVersion",
        "ModifyLaunchTemplate",
    }
)
_PUBLISH = ("publish", "--record", "{record}", "--yes", "--poll", "0")
SCENARIOS = (
    Scenario(name="first publish", prepare=_first_publish, args=_PUBLISH, changes=_MADE),
    Scenario(name="second publish", prepare=_second_publish, args=(*_PUBLISH, "--set-default"), changes=_MADE),
    Scenario(name="rollback", prepare=_published_twice, args=("rollback", "--yes"), changes=_MADE),
    Scenario(
        name="canary",
        prepare=_second_publish,
        args=(*_PUBLISH, "--canary"),
        changes=_MADE | {"RunInstances", "TerminateInstances", "SendCommand"},
    ),
    Scenario(
        name="prune",
        prepare=_old_images,
        args=("images", "prune", "--keep", "1", "--older-than", "0", "--apply", "--yes"),
        changes=frozenset({"CreateTags", "DeregisterImage", "DeleteSnapshot"}),
    ),
    Scenario(
        name="instance refresh",
        prepare=_first_publish_with_groups,
        args=(*_PUBLISH, "--set-default", "--rollout", "asg:workers"),
        changes=_MADE | {"StartInstanceRefresh"},
    ),
    Scenario(
        name="node group update",
        prepare=_first_publish_with_groups,
        args=(*_PUBLISH, "--set-default", "--rollout", "nodegroup:prod/workers"),
        changes=_MADE | {"UpdateNodegroupVersion"},
    ),
    Scenario(
        name="fleet verify",
        prepare=_nodes,
        args=("fleet", "verify", "--poll", "0"),
        changes=frozenset({"SendCommand"}),
    ),
)
