"""What moto leaves out of calls that it has: kept here by the words of EC2's documentation.

Client tokens (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html), tags and encryption of copies,
the time of deprecation, images that are not available at once, disabled or protected ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.publish.stand_in.wire import Refusal, Request, Response, read_response, write_response

_TOKENS = {
    ("ec2", "CopyImage"): "ClientToken",
    ("ec2", "CreateLaunchTemplate"): "ClientToken",
    ("ec2", "CreateLaunchTemplateVersion"): "ClientToken",
    ("ec2", "RunInstances"): "ClientToken",
    ("eks", "UpdateNodegroupVersion"): "clientRequestToken",
}


def without_snapshot_tags(body: bytes) -> bytes:
    """The form of CreateImage without the tags of snapshots, which moto does not take; `completed` sets them."""
    fields = parse_qsl(body.decode(), keep_blank_values=True)
    cut = tuple(
        f"{name.removesuffix('ResourceType')}"
        for name, value in fields
        if name.startswith("TagSpecification.") and name.endswith(".ResourceType") and value == "snapshot"
    )
    return urlencode([(name, value) for name, value in fields if not (cut and name.startswith(cut))]).encode()


class Gaps:
    """State that moto does not keep."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str, str], tuple[str, Response]] = {}
        self.deprecated: dict[str, str] = {}
        self.encrypted: set[str] = set()
        self.encrypted_by_default = False
        # Operation -> how often its token is that of something that is gone: answered with it, or refused, as the
        # content of the call has changed since.
        self.gone: dict[str, int] = {}
        self.mismatches: dict[str, int] = {}
        self.warning = ""
        self.pending_looks = 0
        self._young: dict[str, int] = {}
        self.failing_regions: set[str] = set()
        self.failed_state = "failed"
        self._failed: dict[str, str] = {}
        self.image_dates: dict[str, str] = {}
        self.launched: dict[str, str] = {}
        self.launched_from: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.protected: set[str] = set()
        # So many looks at a template after its default has moved still see it where it was: EC2 is eventually
        # consistent (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
        self.stale_looks = 0
        self._defaults: dict[tuple[str, str], int] = {}
        self._stale: dict[tuple[str, str], tuple[int, int]] = {}

    # -- client tokens -------------------------------------------------------------------------------------------

    def _token(self, request: Request) -> tuple[tuple[str, str, str, str], str] | None:
        name = _TOKENS.get((request.service, request.operation))
        token = request.params.get(name) if name else None
        if token is None:
            return None
        content = json.dumps(request.params, sort_keys=True, default=str)
        return (request.region, request.service, request.operation, token), content

    def repeated(self, request: Request) -> Response | None:
        """The first answer to the same token and parameters."""
        if self.mismatches.get(request.operation, 0) > 0:
            self.mismatches[request.operation] -= 1
            raise Refusal("IdempotentParameterMismatch", "The client token is associated with another request.")
        if self.gone.get(request.operation, 0) > 0:
            self.gone[request.operation] -= 1
            version = {"LaunchTemplateId": request.params.get("LaunchTemplateId", ""), "VersionNumber": 99}
            return write_response(request, {"LaunchTemplateVersion": version})
        found = self._token(request)
        if found is None or found[0] not in self._seen:
            return None
        content, response = self._seen[found[0]]
        if content != found[1]:
            raise Refusal(
                "IdempotentParameterMismatch", "The client token you have provided is associated with another request."
            )
        return response

    def remember(self, request: Request, response: Response) -> None:
        found = self._token(request)
        if found is not None and response.status == 200:
            self._seen[found[0]] = (found[1], response)

    # -- responses -----------------------------------------------------------------------------------------------

    def completed(
        self,
        request: Request,
        response: Response,
        tag: Callable[[str, list[str], dict[str, str]], None],
        look_up: Callable[[str, str], list[dict[str, str]]],
    ) -> Response:
        if response.status == 200 and request.operation == "DescribeAutoScalingGroups":
            # moto says `$Default`'s version of now for instances that were launched before it moved.
            found = read_response(request, response)
            for instance in (i for group in found["AutoScalingGroups"] for i in group.get("Instances", [])):
                if instance["InstanceId"] in self.launched_from:
                    instance["LaunchTemplate"]["Version"] = self.launched_from[instance["InstanceId"]]
            return write_response(request, found)
        if response.status != 200 or request.service != "ec2":
            return response
        if self.warning and request.operation.startswith("CreateLaunchTemplate"):
            found = read_response(request, response)
            found["Warning"] = {"Errors": [{"Code": "InvalidParameterValue", "Message": self.warning}]}
            return write_response(request, found)
        if request.operation == "CopyImage":
            image = read_response(request, response)["ImageId"]
            self._tag_all(request, image, tag)
            if request.params.get("Encrypted") or self.encrypted_by_default:
                self.encrypted.add(image)
            if self.pending_looks:
                self._young[image] = self.pending_looks
            if request.region in self.failing_regions:
                self._failed[image] = "the copy failed, said by the test"
        if request.operation == "CreateImage":
            self._tag_all(request, read_response(request, response)["ImageId"], tag)
        if request.operation == "DescribeLaunchTemplates":
            # moto answers with the tags that a template had when it was made.
            found = read_response(request, response)
            for item in found.get("LaunchTemplates", []):
                item["Tags"] = look_up(request.region, item["LaunchTemplateId"])
                self._as_it_was(request.region, item)
            return write_response(request, found)
        if request.operation == "ModifyLaunchTemplate" and self.stale_looks:
            key = request.region, request.params["LaunchTemplateId"]
            if key in self._defaults:
                self._stale[key] = self.stale_looks, self._defaults[key]
        if request.operation == "DescribeImages":
            found = read_response(request, response)
            shown = request.params.get("IncludeDisabled") in (True, "true")
            images = [item for item in found.get("Images", []) if shown or item["ImageId"] not in self.disabled]
            found["Images"] = [self._image(item) for item in images]
            return write_response(request, found)
        return response

    def _tag_all(self, request: Request, image: str, tag: Callable[[str, list[str], dict[str, str]], None]) -> None:
        for each in request.params.get("TagSpecifications", []):
            tag(request.region, [image, each["ResourceType"]], {t["Key"]: t["Value"] for t in each["Tags"]})

    def _as_it_was(self, region: str, item: dict[str, Any]) -> None:
        key = region, item["LaunchTemplateId"]
        self._defaults[key] = item["DefaultVersionNumber"]
        looks, before = self._stale.pop(key, (0, 0))
        if looks:
            item["DefaultVersionNumber"] = before
            self._stale[key] = looks - 1, before

    def _image(self, item: dict[str, Any]) -> dict[str, Any]:
        image = item["ImageId"]
        # moto's say `standard`, the instance store of long ago, which Packer refuses.
        item = {**item, "RootDeviceType": "ebs"}
        if image in self._failed:
            item = {**item, "State": self.failed_state, "StateReason": {"Code": "x", "Message": self._failed[image]}}
        elif self._young.get(image, 0) > 0:
            self._young[image] -= 1
            item = {**item, "State": "pending"}
        if image in self.disabled:
            item = {**item, "State": "disabled"}
        if image in self.protected:
            item = {**item, "DeregistrationProtection": "enabled-without-cooldown"}
        if image in self.deprecated:
            item = {**item, "DeprecationTime": self.deprecated[image]}
        if image in self.image_dates:
            item = {**item, "CreationDate": self.image_dates[image]}
        if image in self.launched:
            item = {**item, "LastLaunchedTime": self.launched[image]}
        if image in self.encrypted:
            disks = [
                {**d, "Ebs": {**d["Ebs"], "Encrypted": True}} if "Ebs" in d else d
                for d in item.get("BlockDeviceMappings", [])
            ]
            item = {**item, "BlockDeviceMappings": disks}
        return item
