"""What a launch template says, without AWS."""

from __future__ import annotations

from typing import Any

import pytest

from amigen.publish.names import targets
from amigen.publish.template import desired
from tests.specs import spec

NEW: list[dict[str, Any]] = [{"DeviceIndex": 0, "SubnetId": "subnet-1"}]
THERE: list[dict[str, Any]] = [{"DeviceIndex": 0, "NetworkInterfaceId": "eni-1"}]


@pytest.mark.parametrize(
    ("interfaces", "tagged"),
    [
        ([], ["instance", "network-interface", "volume"]),
        (NEW, ["instance", "network-interface", "volume"]),
        ([*THERE, *NEW], ["instance", "network-interface", "volume"]),
        (THERE, ["instance", "volume"]),
    ],
)
def test_what_is_made_at_launch_is_tagged(interfaces: list[dict[str, Any]], tagged: list[str]) -> None:
    """EC2 refuses tags for network interfaces where it makes none."""
    image = spec()

    data = desired(
        {"NetworkInterfaces": interfaces}, spec=image, target=targets(image)[0], digest="d", image="ami-1",
        root_device="/dev/xvda", user_data=b"",
    )  # fmt: skip

    assert [each["ResourceType"] for each in data["TagSpecifications"]] == tagged
