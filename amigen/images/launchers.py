"""What can launch instances by itself: Auto Scaling groups, EC2 Fleets, Spot Fleets and Spot requests of a region.

Each names versions of launch templates, and images besides them (overrides of a group or fleet, launch specifications).

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_FleetData, API_SpotFleetRequestConfigData,
API_SpotInstanceRequest), https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/EC2-fleet-states.html and
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchTemplateOverrides.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """Something that launches.

    Attributes:
        words: Text for messages.
        versions: (id or name of a launch template, version) that it names.
        images: AMIs that it names itself.
    """

    words: str
    versions: tuple[tuple[str, str], ...] = ()
    images: tuple[str, ...] = ()


def find_launchers(aws: Aws, region: str) -> tuple[Launcher, ...]:
    """All of a region.

    Raises:
        CouldNotCheckError: This machine's botocore is too old to see all that they name.
        AwsError: A call failed.
    """
    groups = aws.pages(calls.DESCRIBE_GROUPS, region, "Auto Scaling groups of the region")
    fleets = aws.pages(calls.DESCRIBE_FLEETS, region, "EC2 Fleets of the region")
    spot_fleets = aws.pages(calls.DESCRIBE_SPOT_FLEETS, region, "Spot Fleets of the region")
    requests = aws.pages(calls.DESCRIBE_SPOT_REQUESTS, region, "Spot requests of the region")
    return (
        *map(_group, groups),
        *(_fleet(each) for each in fleets if each.get("FleetState") not in _ENDED),
        *(_spot_fleet(each) for each in spot_fleets if each.get("SpotFleetRequestState") not in _ENDED),
        *(_request(each) for each in requests if each.get("State") in _OPEN),
    )


def _group(group: dict[str, Any]) -> Launcher:
    """Its own template, those of its mix, those of its instances; the images of its overrides."""
    mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    instances = (each.get("LaunchTemplate") for each in group.get("Instances", ()))
    return Launcher(
        words=f"Auto Scaling group {group.get('AutoScalingGroupName')}",
        versions=tuple(_named((*templates.specifications(group), *filter(None, instances)))),
        images=tuple(_images(_overrides(mixed.get("Overrides", ()), "autoscaling", "LaunchTemplateOverrides"))),
    )


def _fleet(fleet: dict[str, Any]) -> Launcher:
    """One of type `instant` is not listed, and launches only once."""
    configs = fleet.get("LaunchTemplateConfigs", ())
    overrides = (override for each in configs for override in each.get("Overrides", ()))
    return Launcher(
        words=f"EC2 Fleet {fleet.get('FleetId')}",
        versions=tuple(_of_configs(configs)),
        images=tuple(_images(_overrides(overrides, "ec2", "FleetLaunchTemplateOverrides"))),
    )


def _spot_fleet(request: dict[str, Any]) -> Launcher:
    """Its overrides have no image (API_LaunchTemplateOverrides of EC2); its launch specifications have."""
    config = request.get("SpotFleetRequestConfig") or {}
    return Launcher(
        words=f"Spot Fleet {request.get('SpotFleetRequestId')}",
        versions=tuple(_of_configs(config.get("LaunchTemplateConfigs", ()))),
        images=tuple(_images(config.get("LaunchSpecifications", ()))),
    )


def _of_configs(configs: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    return _named(each.get("LaunchTemplateSpecification") or {} for each in configs)


def _request(request: dict[str, Any]) -> Launcher:
    """Its template is resolved when it is made; the request holds the image itself."""
    return Launcher(
        words=f"Spot request {request.get('SpotInstanceRequestId')}",
        images=tuple(_images([request.get("LaunchSpecification") or {}])),
    )


def _overrides(items: Iterable[dict[str, Any]], service: str, shape: str) -> tuple[dict[str, Any], ...]:
    """Raise CouldNotCheckError where botocore is older than images of overrides: an image in use would not be seen."""
    found = tuple(items)
    if found and not model.knows(service, shape, "ImageId"):
        raise CouldNotCheckError(
            f"this machine's botocore does not know that overrides may name images ({service}, {shape})",
            "update botocore; until then amigen cannot tell whether an image is in use",
        )
    return found


def _named(specifications: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for each in specifications:
        template = each.get("LaunchTemplateId") or each.get("LaunchTemplateName")
        if template:
            yield str(template), templates.version_of(each)


def _images(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (str(each["ImageId"]) for each in items if each.get("ImageId"))
