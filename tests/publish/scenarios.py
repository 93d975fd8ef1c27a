"""Runs that are made to fail at every call: what stands before, the command, and what must stand in the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.publish.groups import GROUP, NODES, auto_scaling_group, groups_of_a_first_publish, launch
from tests.publish.world import COPY_REGION, Result, World

SHARED = """\
share:
  accounts: ["111122223333"]
encryption:
  kmsKeyId: alias/images
deprecateAfterDays: 365
tags: {team: nodes}"""


def _account(world: World, result: Result) -> Any:
    return world.end_state()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command on a prepared account.

    Attributes:
        changes: Operations that change something: cut before and after each of them.
        code: How the command ends where nothing is made to fail; a rollout to nodes that do not come up ends badly.
        end: What must be the same in the end; the account unless said otherwise.
        sample: The operations that the quick tests take, each where it comes for the last time; empty: all, each where
            it comes first. For commands whose other calls another scenario has already.
        uncertain: Operations whose number of calls is a matter of time: only the first is taken.
    """

    name: str
    prepare: Callable[[World], None]
    args: tuple[str, ...]
    changes: frozenset[str] = frozenset()
    code: int = 0
    end: Callable[[World, Result], Any] = _account
    sample: frozenset[str] = frozenset()
    uncertain: frozenset[str] = frozenset()

    def command(self, world: World) -> tuple[str, ...]:
        """The arguments, with the paths of this world."""
        return tuple(a.replace("{record}", str(world.record_path)) for a in self.args)


def _first_publish(world: World) -> None:
    world.write_spec(SHARED)
    world.build()
    world.gateway.model.late_parameters = 1


def _second_publish(world: World) -> None:
    """A first publish is there; the spec and the image have changed since."""
    world.write_spec()
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(SHARED, scheduler="sed")
    world.build(tag="2", finished="2026-11-21T10:00:00Z")
    world.gateway.gaps.stale_looks = 1


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


def _groups(version: str, *bad: str) -> Callable[[World], None]:
    """Groups that run version 1 by this word; nodes of the `bad` versions do not come up."""

    def prepare(world: World) -> None:
        groups_of_a_first_publish(world, version)
        world.gateway.model.bad_versions = set(bad)

    return prepare


def _stuck_group(world: World) -> None:
    groups_of_a_first_publish(world, "$Default")
    world.gateway.model.stuck_versions = {"2"}


def _two_groups(world: World) -> None:
    """Nodes of version 2 come up in the first, and not in the second."""
    groups_of_a_first_publish(world, "1")
    auto_scaling_group(world, "second", "1")
    world.gateway.model.bad_versions, world.gateway.model.bad_groups = {"2"}, {"second"}


def _rolled_out_once(world: World, result: Result) -> Any:
    """One refresh, one update: a second would replace every node once more."""
    model = world.gateway.model
    return world.end_state(), sum(map(len, model.refreshes.values())), len(model.updates)


def _fleet(world: World) -> None:
    world.write_spec()
    launch(world, 2)
    launch(world, 1, COPY_REGION)


def _silent_fleet(world: World) -> None:
    _fleet(world)
    world.gateway.model.commands_end = False


def _verdicts(world: World, result: Result) -> Any:
    return world.end_state(), result.json["summary"]


def _failed_copy(world: World) -> None:
    """The copy of an earlier publish has failed; the next one takes its time."""
    world.write_spec(SHARED)
    world.build()
    gaps = world.gateway.gaps
    gaps.failing_regions = {COPY_REGION}
    assert world.publish().code != 0
    gaps.failing_regions = set()
    gaps.pending_looks = 2


def _published(world: World) -> None:
    world.write_spec('sourceAmis:\n  al2023:\n    filter: {name: "my-base-*", owners: [self]}')
    base = world.make_image("my-base-1", {})
    world.gateway.gaps.image_dates[base] = "2026-01-01T00:00:00.000Z"
    world.build(tags={"amigen/source-ami": base})
    assert world.publish("--set-default").code == 0


def _said(world: World, result: Result) -> Any:
    """What was said, without ids and without what the clock adds."""
    text = re.sub(r"\b(ami|snap|lt|i)-[0-9a-f]{8,}\b", r"\1", result.out)
    return re.sub(r'"(created|ageDays|deprecated)": [^,\n]*', r'"\1"', text)


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
_ROLLOUT = (*_PUBLISH, "--set-default", "--rollout")
_ROLLED = frozenset({"StartInstanceRefresh", "UpdateNodegroupVersion"})
_LOOKED = frozenset(
    {"DescribeAutoScalingGroups", "DescribeInstanceRefreshes", "DescribeNodegroup", "ListUpdates", "DescribeUpdate"}
)
_BACK = frozenset({"DescribeLaunchTemplates", "DescribeLaunchTemplateVersions", "DescribeImages", "GetParameter"})
_BACK |= {"CreateTags", "ModifyLaunchTemplate", "PutParameter"}
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
        name="publish after a failed copy",
        prepare=_failed_copy,
        args=_PUBLISH,
        changes=_MADE | {"DeregisterImage"},
        sample=frozenset({"DescribeImages", "DeregisterImage", "CopyImage"}),
    ),
    Scenario(
        name="rollout",
        prepare=_groups("1"),
        args=(*_ROLLOUT, GROUP, "--rollout", NODES),
        changes=_MADE | _ROLLED,
        end=_rolled_out_once,
        sample=_LOOKED | _ROLLED,
    ),
    Scenario(
        name="rollout to a group of the default",
        prepare=_groups("$Default"),
        args=(*_ROLLOUT, GROUP),
        changes=_MADE | _ROLLED,
        end=_rolled_out_once,
        sample=_LOOKED | _ROLLED,
    ),
    Scenario(
        name="rollout that AWS takes back",
        prepare=_groups("1", "2"),
        args=(*_ROLLOUT, GROUP),
        changes=_MADE | _ROLLED,
        code=10,
        sample=_BACK,
    ),
    Scenario(
        name="rollout that is taken back",
        prepare=_groups("$Default", "2"),
        args=(*_ROLLOUT, GROUP),
        changes=_MADE | _ROLLED,
        code=10,
        sample=_BACK | _LOOKED | _ROLLED,
    ),
    Scenario(
        name="rollout to several that is taken back",
        prepare=_two_groups,
        args=(*_ROLLOUT, GROUP, "--rollout", "asg:second@eu-central-1"),
        changes=_MADE | _ROLLED,
        code=10,
        sample=_ROLLED,
    ),
    Scenario(
        name="node group that is taken back",
        prepare=_groups("1", "2"),
        args=(*_ROLLOUT, NODES),
        changes=_MADE | _ROLLED,
        code=10,
        sample=_BACK | _LOOKED | _ROLLED,
    ),
    Scenario(
        name="fleet verify",
        prepare=_fleet,
        args=("fleet", "verify", "--poll", "0", "--output", "json"),
        changes=frozenset({"SendCommand"}),
        end=_verdicts,
    ),
    Scenario(
        name="fleet verify that takes too long",
        prepare=_silent_fleet,
        args=("fleet", "verify", "--poll", "0", "--timeout", "0", "--output", "json"),
        changes=frozenset({"SendCommand", "CancelCommand"}),
        code=10,
        end=_verdicts,
        sample=frozenset({"CancelCommand"}),
    ),
    Scenario(
        name="rollout that takes too long",
        prepare=_stuck_group,
        args=(*_ROLLOUT, GROUP, "--timeout", "0.03"),
        changes=_MADE | _ROLLED | {"CancelInstanceRefresh"},
        code=10,
        sample=frozenset({"CancelInstanceRefresh"}),
        uncertain=frozenset({"DescribeInstanceRefreshes"}),
    ),
    Scenario(name="images base", prepare=_published, args=("images", "base", "--output", "json"), end=_said),
    Scenario(name="images list", prepare=_published, args=("images", "list", "--output", "json"), end=_said),
    Scenario(name="images drift", prepare=_published, args=("images", "drift", "--output", "json"), code=4, end=_said),
)
