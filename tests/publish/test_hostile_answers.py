"""AWS answers what it never would: one clear error with the call, no traceback, nothing for the terminal to obey.

Every operation of every command that looks, with the kinds of hostility in turn; all kinds at all of them with
AMIGEN_EVERY_FAULT=1.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.publish.stand_in.hostile import LIES, NONSENSE, XHTML
from tests.publish.stand_in.wire import Request, Response
from tests.publish.world import BUILD_REGION, Result, World

EKS = "/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"
OWN_KINDS = {4, 5, 6, 7, 10, 13, 14}
COMMANDS = {
    "publish": ("publish", "--record", "{record}", "--dry-run", "--set-default"),
    "list": ("images", "list"),
    "base": ("images", "base", "--record", "{record}"),
    "drift": ("images", "drift"),
    "prune": ("images", "prune", "--keep", "1", "--older-than", "0"),
    "rollback": ("rollback", "--dry-run"),
    "fleet": ("fleet", "verify", "--poll", "0", "--timeout", "0.02"),
    "fleet-dry-run": ("fleet", "verify", "--dry-run"),
    "rollout-group": ("publish", "--record", "{record}", "--yes", "--set-default", "--poll", "0", "--timeout", "0.02",
                      "--rollout", "asg:workers"),
    "rollout-nodegroup": ("publish", "--record", "{record}", "--yes", "--set-default", "--poll", "0",
                          "--timeout", "0.02", "--rollout", "nodegroup:prod/workers"),
}  # fmt: skip


def prepared(world: World) -> None:
    """Two publishes, an instance, a group and a node group, in one region."""
    world.reset()
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish("--set-default").code == 0
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2", tags={"amigen/source-ami": "ami-0000000000000base"})
    assert world.publish("--set-default").code == 0
    own = world.template(BUILD_REGION)["LaunchTemplateId"]
    tags = [{"Key": "amigen/name", "Value": "ipvs-nodes"}, {"Key": "amigen/platform", "Value": "al2023"}]
    specification = {"ResourceType": "instance", "Tags": tags}
    world.client("ec2").run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=[specification])
    world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=1,
        MaxSize=3,
        LaunchTemplate={"LaunchTemplateId": own, "Version": "1"},
        AvailabilityZones=["eu-central-1a"],
    )
    group = {"clusterName": "prod", "nodegroupName": "workers", "launchTemplate": {"id": own, "version": "1"}}
    world.gateway.model.nodegroups["prod", "workers"] = group
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = world.make_image("eks-node", {})


def spoiling(operation: str, change: Callable[[Response], Response]) -> Callable[[Request, Response], Response]:
    """Each answer of an operation; errors stay what they are."""
    return lambda request, response: (
        change(response) if request.operation == operation and response.status < 300 else response
    )


def run(world: World, name: str) -> Result:
    world.gateway.start_counting()
    return world.amigen(*(part.replace("{record}", str(world.record_path)) for part in COMMANDS[name]))


def harmless(result: Result, what: str) -> None:
    """Nothing that a terminal obeys, no Python, no end without bounds."""
    said = result.out + result.err
    assert "Traceback" not in said, what
    assert "/tmp/amigen-was-here" not in said or not Path("/tmp/amigen-was-here").exists(), what
    left = {c for c in said if not c.isprintable() and c not in "\n\t"}
    assert not left, f"{what}: {left!r}"


def cases(operations: list[str], each: int) -> Iterator[tuple[str, str]]:
    """Operations with kinds: so many of each, or all."""
    kinds = [*NONSENSE, *LIES]
    if os.environ.get("AMIGEN_EVERY_FAULT"):
        yield from itertools.product(operations, kinds)
        return
    turn = itertools.cycle(kinds)
    for operation in operations:
        for _ in range(each):
            yield operation, next(turn)


@pytest.mark.parametrize("name", COMMANDS)
def test_answers_that_aws_never_gives(world: World, name: str) -> None:
    prepared(world)
    assert run(world, name).code in (0, 4, 6), "without hostility"
    operations = [call.operation for call in world.gateway.calls]
    for operation, kind in cases(list(dict.fromkeys(operations)), 1 if name.startswith("rollout") else 3):
        if name.startswith("rollout"):
            prepared(world)  # these go on with what the last one has left
        world.gateway.spoil = spoiling(operation, (NONSENSE | LIES)[kind])
        began = time.monotonic()

        result = run(world, name)

        world.gateway.spoil = None
        what = f"{name}: {kind} at {operation}: exit {result.code}\n{result.out[:2000]}\n{result.err[:2000]}"
        harmless(result, what)
        assert time.monotonic() - began < 60, what
        assert result.code in OWN_KINDS | {0}, what
        if kind in NONSENSE:
            assert result.code != 0, what
            assert f":{operation} in {BUILD_REGION} for " in result.err, what


@pytest.mark.parametrize(
    "operation",
    ["DescribeImages", "DescribeInstances", "DescribeAutoScalingGroups",
     "DescribeLaunchTemplateVersions", "DescribeLaunchConfigurations", "GetParameters"],
)  # fmt: skip
def test_a_login_page_is_never_taken_for_nothing_uses_this(world: World, operation: str) -> None:
    """The page of a proxy, well-formed and with status 200, must not make `prune` remove what is in use."""
    prepared(world)
    data = {"ImageId": "resolve:ssm:/amigen/ipvs-nodes/al2023/x86_64", "InstanceType": "t3.small"}
    world.client("ec2").create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
    before = world.end_state(BUILD_REGION)
    page = Response(status=200, headers={"Content-Type": "text/html"}, body=XHTML)
    world.gateway.spoil = spoiling(operation, lambda _: page)

    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "0", "--apply", "--yes")

    assert result.code == 10, result.err
    assert f"{operation} in {BUILD_REGION} for " in result.err
    assert "is there a proxy or a login page in between" in result.err
    assert world.end_state(BUILD_REGION) == before
