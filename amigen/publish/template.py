"""What a launch template should say: the previous version's data with amigen's fields laid over it.

Everything that amigen does not own (key pairs, placement, monitoring, further disks and tags) is taken over as it is.
EC2's answers need not be what it was told, byte for byte: it may add fields with its own defaults. So a version says
what is wanted when it says just that, or when its label has the digest of what was sent and nothing of that has another
value.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

from amigen.aws import model
from amigen.export.model import root_volume
from amigen.publish.names import TAG_DIGEST, Target
from amigen.publish.state import Template, Version
from amigen.spec.model import NodeImage

# In place of the id of an image that has yet to be copied; it is never sent.
PENDING_IMAGE = "(the copy that is to be made)"
# The data of a next version, made of those of the one before.
Make = Callable[[dict[str, Any]], dict[str, Any]]


def desired(
    previous: dict[str, Any],
    *,
    spec: NodeImage,
    target: Target,
    digest: str,
    image: str,
    root_device: str,
    user_data: bytes,
) -> dict[str, Any]:
    """The data of the next version.

    Args:
        previous: The data of the version that is the default now; empty for a new template.
        target: Platform and architecture.
        digest: Digest of the spec.
        image: The AMI id, or PENDING_IMAGE.
        root_device: The AMI's root device; EC2 would add a second disk under any other name.
        user_data: Before base64.
    """
    own = spec.aws.launch_template
    data: dict[str, Any] = dict(previous)
    data["ImageId"] = f"resolve:ssm:{target.parameter}" if own.resolve_ssm_parameter else image
    data["UserData"] = base64.b64encode(user_data).decode()
    # Optional IMDSv1 lets a request forged inside a pod read the node's credentials; tokens need a PUT.
    data["MetadataOptions"] = {
        **previous.get("MetadataOptions", {}),
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": own.hop_limit,
    }
    others = [disk for disk in previous.get("BlockDeviceMappings", ()) if disk.get("DeviceName") != root_device]
    data["BlockDeviceMappings"] = [*others, {"DeviceName": root_device, "Ebs": root_volume(spec)}]
    tags = {**spec.aws.tags, **target.tags, TAG_DIGEST: digest}
    data["TagSpecifications"] = _tag_specifications(previous, tags)
    if own.instance_types.get(target.architecture):
        data["InstanceType"] = own.instance_types[target.architecture]
    if own.iam_instance_profile:
        data["IamInstanceProfile"] = {"Name": own.iam_instance_profile}
    if own.security_group_ids:
        _set_groups(data, list(own.security_group_ids))
    return canonical(data)


def tagged_at_launch(data: dict[str, Any]) -> tuple[str, ...]:
    """What gets tags when a template is launched.

    EC2 refuses tags for network interfaces where the launch makes none: where all of them are there already.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplateTagSpecificationRequest.html
    """
    interfaces = data.get("NetworkInterfaces") or [{}]
    made = any(not each.get("NetworkInterfaceId") for each in interfaces)
    return ("instance", "volume", "network-interface") if made else ("instance", "volume")


def _tag_specifications(previous: dict[str, Any], tags: dict[str, str]) -> list[dict[str, Any]]:
    given = previous.get("TagSpecifications", ())
    kinds = {each["ResourceType"]: {t["Key"]: t["Value"] for t in each.get("Tags", ())} for each in given}
    for kind in tagged_at_launch(previous):
        kinds[kind] = {**kinds.get(kind, {}), **tags}
    return [{"ResourceType": kind, "Tags": as_tags(each)} for kind, each in kinds.items()]


def _set_groups(data: dict[str, Any], groups: list[str]) -> None:
    """Security groups belong to the network interface where the template names one (EC2 refuses both).

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestLaunchTemplateData.html
    """
    interfaces = data.get("NetworkInterfaces")
    if interfaces:
        data["NetworkInterfaces"] = [{**interfaces[0], "Groups": groups}, *interfaces[1:]]
        data.pop("SecurityGroupIds", None)
    else:
        data["SecurityGroupIds"] = groups
    data.pop("SecurityGroups", None)


def as_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    """As EC2 takes them, in a stable order."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def canonical(data: dict[str, Any]) -> dict[str, Any]:
    """The same data in one spelling: what EC2 treats as sets is sorted, what is empty is left out."""
    out = {key: value for key, value in sorted(data.items()) if value not in (None, "", [], {})}
    if "TagSpecifications" in out:
        kinds = [{**each, "Tags": sorted(each.get("Tags", ()), key=_key)} for each in out["TagSpecifications"]]
        out["TagSpecifications"] = sorted(kinds, key=lambda each: str(each["ResourceType"]))
    if "BlockDeviceMappings" in out:
        out["BlockDeviceMappings"] = sorted(out["BlockDeviceMappings"], key=lambda each: str(each.get("DeviceName")))
    for name in ("SecurityGroupIds", "SecurityGroups"):
        if name in out:
            out[name] = sorted(out[name])
    return out


def _key(tag: dict[str, str]) -> str:
    return tag["Key"]


def content_digest(data: dict[str, Any], image: str) -> str:
    """32 hexadecimal digits for the data and the image (which the data may name only by its parameter)."""
    text = json.dumps([canonical(data), image], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def covers(have: Any, want: Any) -> bool:
    """Does the one say all that the other says? It may have further fields, such as defaults that EC2 adds."""
    if isinstance(want, dict) and isinstance(have, dict):
        return all(key in have and covers(have[key], value) for key, value in want.items())
    if isinstance(want, list) and isinstance(have, list):
        return len(have) == len(want) and all(map(covers, have, want))
    return bool(have == want)


def as_request(data: dict[str, Any]) -> dict[str, Any]:
    """What DescribeLaunchTemplateVersions answers, cut to what CreateLaunchTemplateVersion takes.

    The two shapes share their names; the response has some more (the `State` of metadata options, for example). What
    the request takes is read from botocore's service model, so that new fields survive with a new boto3.
    """
    return canonical(cut(data, model.shape("ec2", "RequestLaunchTemplateData")))


def cut(value: Any, shape: Any) -> Any:
    """A value without what a shape of botocore's does not know."""
    if shape.type_name == "structure":
        return {name: cut(each, shape.members[name]) for name, each in value.items() if name in shape.members}
    if shape.type_name == "list":
        return [cut(each, shape.member) for each in value]
    return value


def same_version(template: Template, make: Make, image: str) -> Version | None:
    """The version that says this already: the default one, or else the newest."""
    data = make(template.default_version.data)
    others = [version for version in reversed(template.versions) if version.number != template.default]
    exact = (v for v in (template.default_version, *others) if canonical(v.data) == data and v.image == image)
    found = next(exact, None)
    if found is not None or is_default_same(template, make, image):
        return found or template.default_version
    content = content_digest(data, image)
    return next((v for v in others if v.label and v.label.content == content and _covers(v, data, image)), None)


def is_default_same(template: Template, make: Make, image: str) -> bool:
    """Does the default version say this already?

    It was made of the version that was the default then: which one that was does not matter, as what is not amigen's
    comes from the default version itself.
    """
    version = template.default_version
    data = make(version.data)
    if canonical(version.data) == data and version.image == image:
        return True
    if version.label is None or not _covers(version, data, image):
        return False
    before = ({}, *(each.data for each in template.versions))
    return any(version.label.content == content_digest(make(each), image) for each in before)


def _covers(version: Version, data: dict[str, Any], image: str) -> bool:
    return version.image == image and covers(canonical(version.data), data)
