"""`amigen images prune` of images that other accounts may use: usage reports, reference checks, and who may not ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.publish.scenarios import SHARED
from tests.publish.stand_in.usage_reports import UsageReports
from tests.publish.stand_in.wire import Refusal, Request, Response, read_response, write_response
from tests.publish.test_prune import old_images, own, prune, why
from tests.publish.world import BUILD_REGION, COPY_REGION, World

OTHER = "111122223333"
FULL: list[dict[str, Any]] = [
    {"ResourceType": "ec2:Instance"},
    {
        "ResourceType": "ec2:LaunchTemplate",
        "ResourceTypeOptions": [{"OptionName": "version-depth", "OptionValues": ["10000"]}],
    },
]


def share(world: World, image: str, region: str = BUILD_REGION) -> None:
    world.client("ec2", region).modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": OTHER}]})


def usage(world: World) -> UsageReports:
    return world.gateway.model.usage


def deny(world: World, *operations: str, region: str = BUILD_REGION) -> None:
    def refused(request: Request) -> None:
        if request.operation in operations and request.region == region:
            raise Refusal("UnauthorizedOperation", "You are not authorized to perform this operation.")

    world.gateway.authority = refused


def test_images_that_were_never_shared_need_no_report(world: World) -> None:
    images = old_images(world, 3)

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert own(world) == images[2:]
    assert not world.gateway.named("CreateImageUsageReport") + world.gateway.named("DescribeImageUsageReports")


def test_the_plan_says_that_it_requests_a_report_and_requests_none(world: World) -> None:
    images = old_images(world, 3)
    share(world, images[0])

    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "30")

    assert result.code == 0, result.err
    assert f"request the usage report of {images[0]}" in result.out
    assert "REMOVE" not in result.out
    assert "nothing was done; --apply does it" in result.out
    assert not world.gateway.named("CreateImageUsageReport")


def test_nothing_of_the_region_is_removed_before_the_report_is_there(world: World) -> None:
    """Requested, pending, there and without other accounts: only then the images go, the shared one too."""
    images = old_images(world, 3)
    share(world, images[0])
    usage(world).ready = False

    requested = prune(world, "--apply", "--yes")
    pending = prune(world, "--apply", "--yes")
    kept = own(world)
    usage(world).ready = True
    there = prune(world, "--apply", "--yes")

    assert (requested.code, pending.code, there.code) == (7, 7, 0), requested.err + pending.err + there.err
    assert kept == images
    assert requested.json["regions"][0]["usageReports"] == [images[0]]
    assert f"the usage reports of shared images: {images[0]}" in pending.json["errors"][0]["message"]
    assert why(pending)[images[1]] == f"waits for the usage report of {images[0]}"
    (created,) = world.gateway.named("CreateImageUsageReport")
    assert created.params["ResourceTypes"] == FULL
    assert own(world) == images[2:]


def test_an_image_that_another_account_uses_stays_and_the_account_is_named(world: World) -> None:
    images = old_images(world, 4)
    share(world, images[0])
    share(world, images[1])
    for image in images[:2]:
        usage(world).add(image, FULL)
    usage(world).accounts[images[0]] = [
        (OTHER, "ec2:Instance", 3), ("444455556666", "ec2:LaunchTemplate", 1), ("123456789012", "ec2:Instance", 1)
    ]  # fmt: skip

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert own(world) == [images[0], images[3]]
    found = {each["image"]: each for each in result.json["regions"][0]["images"]}
    assert found[images[0]]["usedByAccounts"] == [OTHER, "444455556666"]
    assert found[images[0]]["why"] == (
        f"used by account {OTHER} (3 ec2:Instance), account 444455556666 (1 ec2:LaunchTemplate)"
    )


def test_an_image_that_was_shared_once_needs_a_report(world: World) -> None:
    """Its instances in the other account run on after the permission was taken away; the ledger knows."""
    images = old_images(world, 3)
    entry = {"image": images[0], "steps": {"shared": "2026-01-01T00:00:00Z"}}
    ledger = {"schema": "amigen/ledger/v1", "name": "ipvs-nodes", "entries": {"x": entry}}
    world.record_path.parent.mkdir(exist_ok=True)
    world.record_path.with_name("publish-ledger.json").write_text(json.dumps(ledger))

    result = prune(world, "--record", str(world.record_path))

    assert result.json["regions"][0]["usageReports"] == [images[0]]


def test_a_public_image_needs_a_report(world: World) -> None:
    images = old_images(world, 2)
    world.client("ec2").modify_image_attribute(ImageId=images[0], LaunchPermission={"Add": [{"Group": "all"}]})

    assert prune(world).json["regions"][0]["usageReports"] == [images[0]]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"AccountIds": [OTHER]}, id="of one account"),
        pytest.param({"CreationTime": datetime.now(UTC) - timedelta(days=4)}, id="old"),
        pytest.param({"ResourceTypes": FULL[:1]}, id="without templates"),
        pytest.param({"ResourceTypes": [{"ResourceType": e["ResourceType"]} for e in FULL]}, id="of few versions"),
    ],
)
def test_a_report_that_says_too_little_does_not_count(world: World, more: dict[str, Any]) -> None:
    images = old_images(world, 2)
    share(world, images[0])
    usage(world).add(images[0], FULL, **more)

    assert prune(world).json["regions"][0]["usageReports"] == [images[0]]


def test_a_report_that_could_not_be_made_stops_the_region(world: World) -> None:
    images = old_images(world, 2)
    share(world, images[0])
    usage(world).add(images[0], FULL, State="error", StateReason="too many resources")

    result = prune(world, "--apply", "--yes")

    assert result.code == 7
    assert "too many resources" in result.err
    assert own(world) == images


@pytest.mark.parametrize("operation", ["DescribeImageUsageReports", "DescribeImageUsageReportEntries"])
def test_where_reports_are_not_allowed_only_that_region_keeps_all(world: World, operation: str) -> None:
    """The other region has shared images, too, and its report can be read."""
    here, there = old_images(world, 2), old_images(world, 2, COPY_REGION)
    world.write_spec()
    for image, region in ((here[0], BUILD_REGION), (there[0], COPY_REGION)):
        share(world, image, region)
        usage(world).add(image, FULL)
    deny(world, operation)

    result = prune(world, "--apply", "--yes")

    assert result.code == 10
    assert f"ec2:{operation} in {BUILD_REGION}" in result.err
    assert own(world) == here
    assert own(world, COPY_REGION) == there[1:]


def test_a_report_that_may_not_be_requested_stops_the_region(world: World) -> None:
    images = old_images(world, 2)
    share(world, images[0])
    deny(world, "CreateImageUsageReport")

    result = prune(world, "--apply", "--yes")

    assert result.code == 10
    assert own(world) == images


NEW = (
    "DescribeImageAttribute",
    "DescribeImageReferences",
    "DescribeImageUsageReports",
    "DescribeImageUsageReportEntries",
    "CreateImageUsageReport",
)


def test_a_policy_without_the_new_actions_prunes_what_is_not_shared(world: World) -> None:
    images = old_images(world, 3)
    deny(world, *NEW)

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert own(world) == images[2:]
    notes = result.json["regions"][0]["notes"]
    assert any("ec2:DescribeImageReferences" in note for note in notes)
    assert any("ec2:DescribeImageAttribute" in note for note in notes)


def test_a_policy_without_the_new_actions_removes_nothing_of_a_spec_that_shares(world: World) -> None:
    images = old_images(world, 3)
    world.write_spec(SHARED, copy_regions="")
    deny(world, *NEW)

    result = prune(world, "--apply", "--yes")

    assert result.code == 10
    assert own(world) == images


@pytest.mark.parametrize(
    ("kind", "arn"),
    [("ssm:Parameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/golden"),
     ("imagebuilder:ImageRecipe", "arn:aws:imagebuilder:eu-central-1:123456789012:image-recipe/x/1.0.0")],
)  # fmt: skip
def test_what_a_parameter_or_a_recipe_names_stays(world: World, kind: str, arn: str) -> None:
    images = old_images(world, 15)
    for number, image in enumerate(images):
        world.gateway.gaps.image_dates[image] = f"{2000 + number}-01-01T00:00:00.000Z"
    usage(world).references[images[12]] = [(kind, arn), (kind, f"{arn}-2")]

    result = prune(world)

    assert why(result)[images[12]] == f"used by {kind} {arn}, {kind} {arn}-2"
    assert why(result)[images[0]] is None
    sizes = [len(call.params["ImageIds"]) for call in world.gateway.named("DescribeImageReferences")]
    assert max(sizes) == 10


@pytest.mark.parametrize(
    ("operation", "key"),
    [("DescribeImageUsageReportEntries", "ImageUsageReportEntries"),
     ("DescribeImageUsageReports", "ImageUsageReports"), ("DescribeImageReferences", "ImageReferences")],
)  # fmt: skip
@pytest.mark.parametrize("change", ["cut", "foreign"])
def test_an_answer_that_is_none_permits_no_deletion(world: World, operation: str, key: str, change: str) -> None:
    """Without the list that every answer has, or of another call."""
    images = old_images(world, 2)
    share(world, images[0])
    usage(world).add(images[0], FULL)
    usage(world).accounts[images[0]] = [(OTHER, "ec2:Instance", 1)]

    def spoil(request: Request, response: Response) -> Response:
        if request.operation != operation:
            return response
        if change == "foreign":
            return Response(status=200, headers=response.headers, body=b"<html><body>log in</body></html>")
        found = read_response(request, response)
        found.pop(key)
        return write_response(request, found)

    world.gateway.spoil = spoil

    result = prune(world, "--apply", "--yes")

    assert result.code == 10
    assert own(world) == images


def test_an_image_that_comes_into_use_elsewhere_in_between_stays(world: World) -> None:
    """Between the plan and the removal."""
    images = old_images(world, 2)
    share(world, images[0])
    usage(world).add(images[0], FULL)

    def used_now(request: Request) -> None:
        if len(world.gateway.named("DescribeImageUsageReportEntries")) == 2:
            usage(world).accounts[images[0]] = [(OTHER, "ec2:Instance", 1)]

    world.gateway.before = used_now

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert f"is kept: it is now used by account {OTHER}" in result.err
    assert own(world) == images
