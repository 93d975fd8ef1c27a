"""`--output json` of the commands of publishing: one document on stdout, whatever else is said."""

from __future__ import annotations

import json

import pytest

from tests.publish.test_images import generations
from tests.publish.world import BUILD_REGION, COPY_REGION, World

PARAMETER = "/amigen/ipvs-nodes/al2023/x86_64"


def test_rollback_plans_and_does_the_same(world: World) -> None:
    """The dry run names the steps; the run names those that are done, and where things stand."""
    images = generations(world, 2)

    planned = world.amigen("rollback", "--dry-run", "--output", "json")
    done = world.amigen("rollback", "--yes", "--output", "json")
    again = world.amigen("rollback", "--yes", "--output", "json")

    assert (planned.code, done.code, again.code) == (0, 0, 0), planned.err + done.err + again.err
    assert (planned.json["dryRun"], done.json["dryRun"]) == (True, False)
    before = {place["region"]: place for place in planned.json["places"]}
    after = {place["region"]: place for place in done.json["places"]}
    assert set(before) == set(after) == {BUILD_REGION, COPY_REGION}
    assert [action["step"] for action in before[BUILD_REGION]["actions"]] == ["default", "parameter"]
    assert "version 2 -> 1" in before[BUILD_REGION]["actions"][0]["title"]
    assert any("sed" in line for line in before[BUILD_REGION]["actions"][0]["diff"])
    assert after[BUILD_REGION]["done"] == [action["title"] for action in before[BUILD_REGION]["actions"]]
    assert (after[BUILD_REGION]["image"], after[BUILD_REGION]["version"]) == (images[0], 1)
    assert (after[BUILD_REGION]["default"], after[BUILD_REGION]["error"]) == (1, None)
    assert [place["actions"] for place in again.json["places"]] == [[], []]
    assert "rolled back from version 2 to 1 already" in again.json["places"][0]["notes"][0]
    assert world.template()["DefaultVersionNumber"] == 1


def test_rollback_that_is_refused_is_in_the_document(world: World) -> None:
    """A region that cannot go back does not hide the other; the exit code is that of the refusal."""
    images = generations(world, 2)
    world.client("ec2").deregister_image(ImageId=images[0])

    result = world.amigen("rollback", "--yes", "--output", "json")

    assert result.code == 13
    places = {place["region"]: place for place in result.json["places"]}
    assert f"launches {images[0]}, which is gone" in places[BUILD_REGION]["error"]
    assert (places[COPY_REGION]["error"], places[COPY_REGION]["default"]) == (None, 1)
    assert world.template()["DefaultVersionNumber"] == 2


@pytest.mark.parametrize(
    "command",
    [("images", "list"), ("images", "prune"), ("images", "base"), ("images", "drift"), ("rollback", "--dry-run"),
     ("publish", "--dry-run", "--record", "{record}"), ("fleet", "verify"), ("fleet", "verify", "--dry-run")],
)  # fmt: skip
def test_a_failure_is_in_the_document(world: World, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """Without credentials nothing is found out, and the document says so; it is no empty success."""
    world.write_spec()
    world.build()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    words = [word.replace("{record}", str(world.record_path)) for word in command]

    result = world.amigen(*words, "--output", "json")

    assert result.code in (7, 10)
    errors = result.json["errors"]
    assert errors
    assert all({"where", "message", "hint", "exitCode"} == set(each) for each in errors)
    assert any("redentials" in each["message"] for each in errors)


def test_what_went_well_has_no_errors(world: World) -> None:
    world.write_spec()
    world.build()

    assert world.publish("--dry-run", "--output", "json").json["errors"] == []


def test_prune_says_what_was_removed(world: World) -> None:
    images = generations(world, 3)

    result = world.amigen(
        "images", "prune", "--keep", "1", "--older-than", "30", "--apply", "--yes", "--output", "json"
    )

    assert result.code == 0, result.err
    assert result.json["dryRun"] is False
    here = next(region for region in result.json["regions"] if region["region"] == BUILD_REGION)
    assert {each for each in here["removed"] if each.startswith("ami-")} == set(images[:2])
    assert [each["remove"] for each in here["images"]] == [False, True, True]


def test_a_rollout_is_in_the_document(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build()
    assert world.publish().code == 0
    template = world.template()["LaunchTemplateId"]
    group = {"clusterName": "prod", "nodegroupName": "workers", "launchTemplate": {"id": template, "version": "7"}}
    world.gateway.model.nodegroups["prod", "workers"] = group

    result = world.publish("--set-default", "--rollout", "nodegroup:prod/workers", "--output", "json")

    assert result.code == 0, result.err
    (rollout,) = result.json["rollouts"]
    assert rollout["group"] == "node group prod/workers in eu-central-1"
    assert (rollout["done"].endswith("version 1 is rolled out"), rollout["error"]) == (True, None)


def test_words_of_others_cannot_command_a_terminal(world: World) -> None:
    """The document stays valid JSON, and the words in it are what they were."""
    world.write_spec(copy_regions="")
    world.build()
    words = "\x9b31mred\u202e\U000e0001 größer"
    world.client("ec2").create_tags(
        Resources=[world.images["al2023/x86_64"]], Tags=[{"Key": "amigen/digest", "Value": words}]
    )

    result = world.amigen("images", "list", "--output", "json")

    assert json.loads(result.out)["images"][0]["digest"] == words
    assert all(c.isprintable() or c == "\n" for c in result.out)
