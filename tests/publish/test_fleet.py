"""`amigen fleet verify`: Run Command by the model-answering server, its scripts run by a shell of this machine."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from amigen.publish import proof
from tests.publish.groups import launch
from tests.publish.stand_in.gateway import Fault
from tests.publish.stand_in.wire import Refusal, Request
from tests.publish.world import BUILD_REGION, COPY_REGION, World

REAL_PROOF = (proof.script_of, proof.judge)
FLEET = ("fleet", "verify", "--poll", "0")


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    """Instance -> verdict, or `unproven`."""
    return {
        each["instance"]: each["report"]["verdict"] if each["report"] else "unproven" for each in document["instances"]
    }


def test_an_answer_that_cannot_be_fetched_leaves_one_node_unproven(world: World) -> None:
    """The others are reported."""
    world.write_spec(copy_regions="")
    nodes = launch(world, 3)

    def judge(request: Request) -> None:
        if request.operation == "GetCommandInvocation" and request.params["InstanceId"] == nodes[1]:
            raise Refusal("InvocationDoesNotExist", "not known")

    world.gateway.authority = judge
    result = world.amigen(*FLEET, "--output", "json")

    assert result.code == 7
    assert outcomes(result.json) == {nodes[0]: "proven", nodes[1]: "unproven", nodes[2]: "proven"}
    problem = next(each["problem"] for each in result.json["instances"] if each["instance"] == nodes[1])
    assert "could not be fetched" in problem


def test_all_nodes_of_all_regions_are_asked_with_one_command_each(world: World) -> None:
    world.write_spec()
    here, there = launch(world, 3), launch(world, 2, COPY_REGION)

    result = world.amigen(*FLEET, "--max-concurrency", "25%", "--max-errors", "3", "--output", "json")

    assert result.code == 0, result.err
    assert outcomes(result.json) == dict.fromkeys([*here, *there], "proven")
    assert result.json["summary"] == {"proven": 5, "failed": 0, "unproven": 0}
    sent = world.gateway.named("SendCommand")
    assert sorted(call.region for call in sent) == [BUILD_REGION, COPY_REGION]
    assert {(c.params["MaxConcurrency"], c.params["MaxErrors"]) for c in sent} == {("25%", "3")}
    assert sent[0].params["Targets"] == [{"Key": "tag:amigen/name", "Values": ["ipvs-nodes"]}]
    assert "3 of 3 answered" in result.err


def test_the_sick_and_the_silent_are_told_apart(world: World) -> None:
    """A failed check is a verdict; a node that does not answer is none."""
    world.write_spec(copy_regions="")
    well, sick, silent = launch(world, 3)
    world.gateway.model.health[sick] = "sick"
    world.gateway.model.offline = {silent}

    result = world.amigen(*FLEET, "--output", "json")

    assert outcomes(result.json) == {well: "proven", sick: "failed", silent: "unproven"}
    assert result.code == 6
    assert "1 of 3 instances failed checks" in result.err
    problem = next(each["problem"] for each in result.json["instances"] if each["instance"] == silent)
    assert f"{silent} in {BUILD_REGION}: did not answer" in problem


def test_nodes_that_do_not_answer_are_no_success(world: World) -> None:
    world.write_spec(copy_regions="")
    world.gateway.model.offline = set(launch(world, 2))

    result = world.amigen(*FLEET)

    assert result.code == 7
    assert "2 of 2 instances are not proven" in result.err
    assert result.out.count("UNPROVEN") == 2


@pytest.mark.parametrize("listed", [True, False])
def test_nodes_that_were_not_asked_are_said_to_be(world: World, listed: bool) -> None:
    """After too many errors Run Command sends no more: that says nothing of the nodes that it left out."""
    world.write_spec(copy_regions="")
    broken, *others = launch(world, 4)
    world.gateway.model.lists_unsent = listed
    asked: list[str] = []

    def run(instance: str, commands: list[str]) -> tuple[int, str, str]:
        asked.append(instance)
        return 1, "", "no space left on device"

    world.gateway.model.run = run

    result = world.amigen(*FLEET, "--max-concurrency", "1", "--max-errors", "1", "--output", "json")

    assert result.code == 7, result.err
    assert len(asked) == 2
    problems = {each["instance"]: each["problem"] for each in result.json["instances"]}
    for instance in {broken, *others} - set(asked):
        assert problems[instance].endswith(
            "was not asked: the command was stopped after more errors than --max-errors 1"
        )
    assert all("no space left on device" in problems[instance] for instance in asked)


@pytest.mark.parametrize(
    "option",
    [("--max-concurrency", "lots"), ("--max-concurrency", "0"), ("--max-errors", "x"), ("--max-errors", "101%")],
)
def test_limits_are_numbers_or_percentages(world: World, option: tuple[str, str]) -> None:
    world.write_spec(copy_regions="")

    result = world.amigen(*FLEET, *option)

    assert result.code == 14, result.err
    assert f"{option[0]} {option[1]!r} is neither a number nor a percentage" in result.err
    assert world.gateway.calls == []


def test_the_reports_of_verify_are_written(world: World) -> None:
    """One JUnit file and one page for all nodes."""
    world.write_spec(copy_regions="")
    well, sick = launch(world, 2)
    world.gateway.model.health[sick] = "sick"
    junit, page = world.folder / "fleet.xml", world.folder / "fleet.html"

    result = world.amigen(*FLEET, "--junit", str(junit), "--html", str(page))

    assert result.code == 6
    root = ET.parse(junit).getroot()
    assert (len(root.findall(".//testcase")), len(root.findall(".//failure"))) == (2, 1)
    assert well in page.read_text()
    assert sick in page.read_text()


def test_a_region_that_cannot_be_asked_does_not_hide_the_others(world: World) -> None:
    world.write_spec()
    here = launch(world)
    launch(world, 1, COPY_REGION)
    world.amigen(*FLEET)
    position = next(p for p in world.gateway.positions() if (p.operation, p.region) == ("SendCommand", COPY_REGION))
    world.gateway.start_counting()
    world.gateway.fault = Fault(at=position, kind="denied")

    result = world.amigen(*FLEET, "--output", "json")

    assert result.code == 10
    assert outcomes(result.json) == {here[0]: "proven"}
    assert f"ssm:SendCommand in {COPY_REGION} for instances with amigen/name=ipvs-nodes failed" in result.err


def test_dry_run_names_the_nodes_and_asks_none(world: World) -> None:
    world.write_spec(copy_regions="")
    found = launch(world, 2, team="a")
    launch(world, 1, team="b")

    result = world.amigen(*FLEET, "--tag", "team=a", "--dry-run", "--output", "json")

    assert sorted(result.json["instances"][BUILD_REGION]) == sorted(found)
    assert world.gateway.named("SendCommand") == []


def test_dry_run_shows_the_regions_that_can_be_looked_at(world: World) -> None:
    world.write_spec()
    here = launch(world)
    world.amigen(*FLEET, "--dry-run")
    position = next(p for p in world.gateway.positions() if p.region == COPY_REGION)
    world.gateway.start_counting()
    world.gateway.fault = Fault(at=position, kind="expired")

    result = world.amigen(*FLEET, "--dry-run")

    assert result.code == 10
    assert result.out == f"{BUILD_REGION}: would ask {here[0]}\n"
    assert f"{COPY_REGION}: ec2:DescribeInstances" in result.err


def test_a_node_of_an_unknown_platform_is_said(world: World) -> None:
    """Of several platforms, only the node's own tags say which it is."""
    world.write_spec(platforms="al2023, ubuntu-24.04", copy_regions="")
    known, unknown = launch(world)[0], launch(world, 1, **{"amigen/platform": "windows"})[0]

    result = world.amigen(*FLEET, "--output", "json")

    assert result.code == 7
    problems = {each["instance"]: each["problem"] for each in result.json["instances"]}
    assert "its platform is not known" in problems[unknown]
    assert problems[known] is None


@pytest.mark.parametrize(("tag", "code", "said"), [("team", 14, "'team' is not a tag"), ("team=none", 7, "team=none")])
def test_tags_that_find_nothing(world: World, tag: str, code: int, said: str) -> None:
    world.write_spec(copy_regions="")

    result = world.amigen(*FLEET, "--tag", tag)

    assert result.code == code
    assert said in result.err


def test_the_real_checks_find_that_this_machine_is_no_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the stand-in: the rendered suite, its facts gathered by a shell through the packed command."""
    monkeypatch.setattr("amigen.publish.proof.script_of", REAL_PROOF[0])
    monkeypatch.setattr("amigen.publish.proof.judge", REAL_PROOF[1])
    world.write_spec(copy_regions="")
    instance = launch(world)[0]

    result = world.amigen(*FLEET, "--output", "json")

    assert result.code == 6, result.err
    report = result.json["instances"][0]["report"]
    assert report["target"] == f"ssm://{instance}?region={BUILD_REGION}"
    failed = {each["id"] for each in report["results"] if each["outcome"] == "failed"}
    assert {"test_file[/etc/modules-load.d/ipvs.conf]", "test_release[ipvs-nodes]"} <= failed
