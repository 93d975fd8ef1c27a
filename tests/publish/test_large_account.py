"""Accounts with hundreds of launch templates: few calls, in pages, without holding what is not needed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from amigen.aws.session import Aws
from amigen.images.usage import _current_versions
from tests.publish.stand_in.wire import Request
from tests.publish.test_prune import old_images, own, prune, why
from tests.publish.world import BUILD_REGION, World

TEMPLATES, VERSIONS = 200, 50


def versions(image: str) -> Iterator[dict[str, Any]]:
    """`$Default` and `$Latest` of each template; one in the middle has the image."""
    for number in range(TEMPLATES):
        for version in (VERSIONS - 1, VERSIONS):
            used = image if (number, version) == (TEMPLATES // 2, VERSIONS) else "ami-12345678"
            yield {
                "LaunchTemplateId": f"lt-{number:017x}",
                "LaunchTemplateName": f"template-{number}",
                "VersionNumber": version,
                "LaunchTemplateData": {"ImageId": used, "UserData": "x" * 20_000},
            }


def test_two_hundred_templates_with_fifty_versions_are_one_listing(world: World) -> None:
    """Two pages, and no call for each template."""
    images = old_images(world, 3)
    every = list(versions(images[0]))

    def answer(request: Request) -> dict[str, Any]:
        size, start = int(request.params["MaxResults"]), int(request.params.get("NextToken", 0))
        assert request.params["Versions"] == ["$Default", "$Latest"]
        more = {"NextToken": str(start + size)} if start + size < len(every) else {}
        return {"LaunchTemplateVersions": every[start : start + size], **more}

    world.gateway.model._answers["ec2", "DescribeLaunchTemplateVersions"] = answer
    world.gateway.start_counting()

    result = prune(world, "--apply", "--yes")

    assert result.code == 0, result.err
    assert own(world) == [images[0], images[2]]
    assert why(result)[images[0]] == f"used by launch template template-100 version {VERSIONS}"
    # Once for the plan and once right before the removal.
    assert len(world.gateway.named("DescribeLaunchTemplateVersions")) == 4


def test_user_data_is_not_kept() -> None:
    """The memory of a listing does not grow with what templates hold."""

    class Paged:
        def pages(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
            for number in range(2_000):
                data = {"ImageId": "ami-12345678", "UserData": "x" * (20_000 + number)}
                yield {"LaunchTemplateId": f"lt-{number}", "LaunchTemplateName": f"n{number}", "VersionNumber": 1,
                       "LaunchTemplateData": data}  # fmt: skip

    tracemalloc.start()
    found = _current_versions(cast(Aws, Paged()), BUILD_REGION)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(found) == 2_000
    assert peak < 3_000_000


@pytest.mark.parametrize("size", [1, 15, 200])
def test_all_pages_are_read(world: World, size: int) -> None:
    """The template that uses the image is on the last page."""
    images = old_images(world, 2)
    ec2 = world.client("ec2")
    for number in range(16):
        image = images[0] if number == 15 else "ami-12345678"
        ec2.create_launch_template(LaunchTemplateName=f"t{number:02}", LaunchTemplateData={"ImageId": image})
    world.gateway.model.page_size = size

    assert why(prune(world))[images[0]] == "used by launch template t15 version 1"


def test_a_foreign_template_that_cannot_be_resolved_stops_prune_and_not_the_list(world: World) -> None:
    images = old_images(world, 2)
    world.client("ec2").create_launch_template(
        LaunchTemplateName="theirs", LaunchTemplateData={"ImageId": "resolve:ssm:/theirs/ami"}
    )

    listed = world.amigen("images", "list")
    result = prune(world, "--apply", "--yes")

    assert (listed.code, result.code) == (0, 7), listed.err + result.err
    assert "launch template theirs version 1 names its image by resolve:ssm:/theirs/ami" in listed.out
    assert own(world) == images
