"""What can launch instances by itself: Auto Scaling groups, EC2 Fleets, Spot Fleets and Spot requests of a region.

Each names versions of launch templates, and images besides them (overrides of a group or fleet, launch specifications).

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_FleetData, API_SpotFleetRequestConfigData,
API_SpotInstanceRequest), https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/EC2-fleet-states.html and
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchTemplateOverrides.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from amigen.aws import calls, model
from amigen.aws.session import Aws
from amigen.base.errors import CouldNotCheckError
from amigen.rollout import templates

# These launch nothing any more; what still runs of them is seen as instances.
_ENDED = (
    *("deleted", "deleted_running", "deleted_terminating"),
    *("cancelled", "cancelled_running", "cancelled_terminating", "failed"),
)
_OPEN = ("open", "active", "disabled")


# What launches, in words; the specifications of launch templates that it names; what may name an image besides them.
_Launcher = tuple[str, Iterable[dict[str, Any]], Iterable[dict[str, Any]]]


def find_launchers(aws: Aws, region: str) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """What all of a region name: (AMI, launcher in words), and (id or name of a launch template, version).

    Raises:
        CouldNotCheckError: This machine's botocore is too old to see all that they name.
        AwsError: A call failed.
    """
    groups = aws.pages(calls.DESCRIBE_GROUPS, region, "Auto Scaling groups of the region")
    fleets = aws.pages(calls.DESCRIBE_FLEETS, region, "EC2 Fleets of the region")
    spot_fleets = aws.pages(calls.DESCRIBE_SPOT_FLEETS, region, "Spot Fleets of the region")
    requests = aws.pages(calls.DESCRIBE_SPOT_REQUESTS, region, "Spot requests of the region")
    images: list[tuple[str, str]] = []
    versions: set[tuple[str, str]] = set()
    for words, specifications, items in (
        *map(_group, groups),
        *(_fleet(each) for each in fleets if each.get("FleetState") not in _ENDED),
        *(_spot_fleet(each) for each in spot_fleets if each.get("SpotFleetRequestState") not in _ENDED),
        *(_request(each) for each in requests if each.get("State") in _OPEN),
    ):
        images += [(str(each["ImageId"]), words) for each in items if each.get("ImageId")]
        for each in specifications:
            if template := each.get("LaunchTemplateId") or each.get("LaunchTemplateName"):
                versions.add((str(template), templates.version_of(each)))
    return images, versions


def _group(group: dict[str, Any]) -> _Launcher:
    """Its own template, those of its mix, those of its instances; the images of its overrides."""
    mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    instances = [each.get("LaunchTemplate") or {} for each in group.get("Instances", ())]
    overrides = _seen(mixed.get("Overrides", ()), "autoscaling", "LaunchTemplateOverrides")
    words = f"Auto Scaling group {group.get('AutoScalingGroupName')}"
    return words, (*templates.specifications(group), *instances), overrides


def _fleet(fleet: dict[str, Any]) -> _Launcher:
    """One of type `instant` is not listed, and launches only once."""
    configs = fleet.get("LaunchTemplateConfigs", ())
    overrides = [override for each in configs for override in each.get("Overrides", ())]
    words = f"EC2 Fleet {fleet.get('FleetId')}"
    return words, _specifications(configs), _seen(overrides, "ec2", "FleetLaunchTemplateOverrides")


def _spot_fleet(request: dict[str, Any]) -> _Launcher:
    """Its overrides have no image (API_LaunchTemplateOverrides of EC2); its launch specifications have."""
    config, words = request.get("SpotFleetRequestConfig") or {}, f"Spot Fleet {request.get('SpotFleetRequestId')}"
    return words, _specifications(config.get("LaunchTemplateConfigs", ())), config.get("LaunchSpecifications", ())


def _request(request: dict[str, Any]) -> _Launcher:
    """Its template is resolved when it is made; the request holds the image itself."""
    return f"Spot request {request.get('SpotInstanceRequestId')}", (), [request.get("LaunchSpecification") or {}]


def _specifications(configs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each.get("LaunchTemplateSpecification") or {} for each in configs]


def _seen(overrides: Sequence[dict[str, Any]], service: str, shape: str) -> Sequence[dict[str, Any]]:
    """Raise CouldNotCheckError where botocore is older than images of overrides: an image in use would not be seen."""
    if overrides and not model.knows(service, shape, "ImageId"):
        raise CouldNotCheckError(
            f"this machine's botocore does not know that overrides may name images ({service}, {shape})",
            "update botocore; until then amigen cannot tell whether an image is in use",
        )
    return overrides
