"""Read what stands on AWS."""

from __future__ import annotations

from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.aws.session import Aws
from amigen.publish.state import Image, Instance, Snapshot, Template, Version
from amigen.publish.template import as_request

_GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed")


def find_image(aws: Aws, region: str, image: str) -> Image | None:
    """An AMI by its id; None where it does not exist (any more)."""
    try:
        return next(iter(find_images(aws, region, f"image {image}", ImageIds=[image])), None)
    except CallError as error:
        if error.code in _GONE:
            return None
        raise


def find_images(aws: Aws, region: str, what: str, **params: Any) -> tuple[Image, ...]:
    """AMIs, newest first; `params` of DescribeImages."""
    found = map(read_image, aws.pages(calls.DESCRIBE_IMAGES, region, what, **params))
    return tuple(sorted(found, key=lambda image: (image.created, image.id), reverse=True))


def own_images(aws: Aws, region: str, what: str, **params: Any) -> tuple[Image, ...]:
    """The account's own AMIs, newest first; deprecated and disabled ones too."""
    return find_images(aws, region, what, Owners=["self"], IncludeDeprecated=True, IncludeDisabled=True, **params)


def tagged(**tags: str) -> list[dict[str, Any]]:
    """Filters for things with these tags."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def read_image(item: dict[str, Any]) -> Image:
    """An element of DescribeImages."""
    disks = [d for d in item.get("BlockDeviceMappings", ()) if d.get("Ebs", {}).get("SnapshotId")]
    return Image(
        id=item["ImageId"],
        name=item.get("Name", ""),
        state=item.get("State", ""),
        architecture=item.get("Architecture", ""),
        root_device=item.get("RootDeviceName", ""),
        owner=item.get("OwnerId", ""),
        created=item.get("CreationDate", ""),
        reason=item.get("StateReason", {}).get("Message", ""),
        deprecated=item.get("DeprecationTime", ""),
        launched=item.get("LastLaunchedTime", ""),
        # `disabled`, or since when it is (API_Image).
        protected=str(item.get("DeregistrationProtection", "")).startswith("enabled"),
        public=bool(item.get("Public")),
        tags={tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
        snapshots=tuple(
            Snapshot(
                id=disk["Ebs"]["SnapshotId"],
                encrypted=bool(disk["Ebs"].get("Encrypted")),
                device=disk.get("DeviceName", ""),
                gib=disk["Ebs"].get("VolumeSize", 0),
            )
            for disk in disks
        ),
    )


def image_permissions(aws: Aws, region: str, image: str) -> frozenset[str]:
    """Who may launch an AMI: accounts, organisations, units; `all` for everybody."""
    answer = aws.call(
        calls.DESCRIBE_IMAGE_ATTRIBUTE, region, f"image {image}", ImageId=image, Attribute="launchPermission"
    )
    keys = ("UserId", "OrganizationArn", "OrganizationalUnitArn", "Group")
    return frozenset(p[key] for p in answer.get("LaunchPermissions", ()) for key in keys if p.get(key))


def snapshot_permissions(aws: Aws, region: str, snapshot: str) -> frozenset[str]:
    """The accounts that may read a snapshot."""
    answer = aws.call(
        calls.DESCRIBE_SNAPSHOT_ATTRIBUTE,
        region,
        f"snapshot {snapshot}",
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
    )
    return frozenset(p["UserId"] for p in answer.get("CreateVolumePermissions", ()) if p.get("UserId"))


def find_template(aws: Aws, region: str, name: str) -> Template | None:
    """A launch template with its versions; None where there is none.

    Asked for by a filter: that answers with an empty list where the name does not exist, and is not an error.
    """
    filters = [{"Name": "launch-template-name", "Values": [name]}]
    what = f"launch template {name}"
    found = next(aws.pages(calls.DESCRIBE_TEMPLATES, region, what, Filters=filters), None)
    if found is None:
        return None
    versions = aws.pages(
        calls.DESCRIBE_TEMPLATE_VERSIONS, region, what, LaunchTemplateId=found["LaunchTemplateId"], MaxResults=200
    )
    found_versions = (
        Version(
            number=each["VersionNumber"],
            data=as_request(each.get("LaunchTemplateData", {})),
            description=each.get("VersionDescription", ""),
        )
        for each in versions
    )
    read = tuple(sorted(found_versions, key=lambda version: version.number))
    if found["DefaultVersionNumber"] not in {version.number for version in read}:
        raise found.error("DefaultVersionNumber", "names a version that is not there")
    return Template(
        id=found["LaunchTemplateId"],
        name=name,
        default=found["DefaultVersionNumber"],
        latest=found["LatestVersionNumber"],
        tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", ())},
        versions=read,
    )


def find_parameter(aws: Aws, region: str, name: str, call: Call = calls.GET_PARAMETER) -> str | None:
    """The value of an SSM parameter; None where there is none."""
    try:
        answer = aws.call(call, region, f"parameter {name}", Name=name)
    except CallError as error:
        if error.code == "ParameterNotFound":
            return None
        raise
    return str(answer["Parameter"]["Value"])


def running_instances(aws: Aws, region: str, what: str, **tags: str) -> tuple[Instance, ...]:
    """Instances with these tags that are not on their way out; all of the region without tags."""
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    pages = aws.pages(calls.DESCRIBE_INSTANCES, region, what, Filters=[*filters, *tagged(**tags)])
    return tuple(read_instance(item) for reservation in pages for item in reservation["Instances"])


def read_instance(item: dict[str, Any]) -> Instance:
    """An element of DescribeInstances."""
    return Instance(
        id=item["InstanceId"],
        image=item.get("ImageId", ""),
        state=item.get("State", {}).get("Name", ""),
        tags={tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
    )
