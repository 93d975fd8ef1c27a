"""What the lowest botocore that is declared has to know: it leaves out of an answer what it does not."""

from __future__ import annotations

import pytest

from amigen.aws import calls, model


@pytest.mark.parametrize(
    ("service", "shape"), [("autoscaling", "LaunchTemplateOverrides"), ("ec2", "FleetLaunchTemplateOverrides")]
)
def test_images_of_overrides_are_seen(service: str, shape: str) -> None:
    """An image that prune did not see there would be removed, and a group that is moved on would lose it."""
    assert "ImageId" in model.shape(service, shape).members


def test_every_list_of_the_account_answers_in_pages() -> None:
    """The calls whose answers decide what is removed."""
    for call in (calls.DESCRIBE_REFERENCES, calls.DESCRIBE_USAGE_REPORTS, calls.DESCRIBE_USAGE_ENTRIES):
        assert model.pagination(call.service, call.operation)["output_token"] == "NextToken"
