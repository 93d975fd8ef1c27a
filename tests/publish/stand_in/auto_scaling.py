"""Instance refreshes of Auto Scaling groups, by the words of its documentation.

Desired configuration, and what it does to the group:
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DesiredConfiguration.html; what can be rolled back:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.publish.stand_in.moto_gaps import Gaps
from tests.publish.stand_in.wire import Refusal, Request

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_ACTIVE = ("Pending", "InProgress", "RollbackInProgress", "Cancelling")


class InstanceRefreshes:
    """State and answers; `_client` comes from the class that this is a part of.

    Attributes:
        bad_versions: Template versions with which a rollout fails.
        bad_groups: Groups in which these versions fail; empty for all.
        stuck_versions: Template versions to which an instance refresh never ends.
        fail_refreshes: How many of the next instance refreshes fail.
        kept: Instances that a refresh leaves, as it leaves those in standby.
    """

    def __init__(self, gaps: Gaps) -> None:
        self._gaps = gaps
        self._ids = itertools.count(1)
        self.bad_versions: set[str] = set()
        self.bad_groups: set[str] = set()
        self.stuck_versions: set[str] = set()
        self.fail_refreshes = 0
        self.kept: set[str] = set()
        self.refreshes: dict[str, list[dict[str, Any]]] = {}

    def _client(self, service: str, region: str) -> Any:
        raise NotImplementedError

    def _group(self, region: str, name: str) -> dict[str, Any]:
        client = self._client("autoscaling", region)
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not found:
            raise Refusal("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return dict(found[0])

    def _start_refresh(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["AutoScalingGroupName"]
        group = self._group(request.region, name)
        history = self.refreshes.setdefault(name, [])
        if history and history[0]["Status"] in _ACTIVE:
            raise Refusal("InstanceRefreshInProgress", "An Instance Refresh is already in progress")
        desired = params.get("DesiredConfiguration", {})
        self._refuse_wrong(desired)
        if params.get("Preferences", {}).get("AutoRollback") in (True, "true"):
            self._refuse_rollback(request.region, group, desired)
        refresh = {
            "InstanceRefreshId": f"refresh-{next(self._ids)}",
            "AutoScalingGroupName": name,
            "Status": "Pending",
            "PercentageComplete": 0,
            "DesiredConfiguration": desired,
            "Preferences": params.get("Preferences", {}),
            "StartTime": NOW,
        }
        refresh["_version"] = self._version(request.region, desired or group)
        refresh["_fails"] = self.fail_refreshes > 0
        self.fail_refreshes = max(0, self.fail_refreshes - 1)
        history.insert(0, refresh)
        return {"InstanceRefreshId": refresh["InstanceRefreshId"]}

    def _refuse_wrong(self, desired: dict[str, Any]) -> None:
        if len(desired) > 1:
            raise Refusal("ValidationError", "Specify either a LaunchTemplate or a MixedInstancesPolicy.")
        if any("LaunchTemplateId" in s and "LaunchTemplateName" in s for s in specifications(desired)):
            raise Refusal(
                "ValidationError", "Valid requests must contain either LaunchTemplateId or LaunchTemplateName"
            )

    def _refuse_rollback(self, region: str, group: dict[str, Any], desired: dict[str, Any]) -> None:
        """No desired configuration, `$Default` or `$Latest`, an image by a parameter: AWS could not go back."""
        used = list(specifications(group))
        if not desired:
            raise Refusal("ValidationError", "AutoRollback needs a desired configuration")
        if any(str(each.get("Version", "$Default")).startswith("$") for each in used):
            raise Refusal("ValidationError", "AutoRollback needs a numbered launch template version")
        for each in (*used, *specifications(desired)):
            found = self._client("ec2", region).describe_launch_template_versions(
                LaunchTemplateId=each["LaunchTemplateId"], Versions=[each["Version"]]
            )
            data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
            if data.get("ImageId", "").startswith("resolve:ssm:"):
                raise Refusal(
                    "ValidationError", "AutoRollback cannot be used with an AMI of a Systems Manager parameter"
                )

    def _version(self, region: str, source: dict[str, Any]) -> str:
        """The number that new instances have: what the template's default is when the refresh begins."""
        template = next(specifications(source))
        version = str(template.get("Version", ""))
        if version != "$Default":
            return version
        client = self._client("ec2", region)
        found = client.describe_launch_templates(LaunchTemplateIds=[template["LaunchTemplateId"]])["LaunchTemplates"]
        return str(found[0]["DefaultVersionNumber"])

    def _replaced(self, region: str, name: str, version: str) -> None:
        """The group's instances have this version by now, also where the refresh did not get to its end."""
        for instance in self._group(region, name)["Instances"]:
            if instance["InstanceId"] not in self.kept:
                self._gaps.launched_from[instance["InstanceId"]] = version

    def _describe_refreshes(self, request: Request) -> dict[str, Any]:
        name = request.params["AutoScalingGroupName"]
        self._group(request.region, name)
        history = self.refreshes.get(name, [])
        for refresh in history:
            self._advance(request.region, name, refresh)
        wanted = request.params.get("InstanceRefreshIds")
        found = [r for r in history if not wanted or r["InstanceRefreshId"] in wanted]
        if wanted and not found:
            raise Refusal("ValidationError", f"there is no instance refresh {wanted}")
        return {"InstanceRefreshes": [public(r) for r in found]}

    def _advance(self, region: str, name: str, refresh: dict[str, Any]) -> None:
        desired = refresh["DesiredConfiguration"]
        version = refresh.get("_version") or self._version(region, desired or self._group(region, name))
        bad = version in self.bad_versions and (not self.bad_groups or name in self.bad_groups)
        status = refresh["Status"]
        if status == "InProgress" and version in self.stuck_versions:
            return
        if status == "Pending":
            refresh.update(Status="InProgress", PercentageComplete=50)
            self._replaced(region, name, version)
        elif status == "InProgress" and (refresh.get("_fails") or bad):
            back = refresh["Preferences"].get("AutoRollback") in (True, "true")
            refresh.update(Status="RollbackInProgress" if back else "Failed", StatusReason="instances unhealthy")
        elif status == "RollbackInProgress":
            refresh.update(Status="RollbackSuccessful", PercentageComplete=100)
            self._replaced(region, name, self._version(region, self._group(region, name)))
        elif status == "Cancelling":
            refresh.update(Status="Cancelled")
        elif status == "InProgress":
            refresh.update(Status="Successful", PercentageComplete=100)
            if desired:
                # A template alone takes the place of a mix, with all that the mix has said.
                self._client("autoscaling", region).update_auto_scaling_group(AutoScalingGroupName=name, **desired)
            # moto replaces no instance: those that are there speak of the new version from now on.
            self._replaced(region, name, version)

    def _cancel_refresh(self, request: Request) -> dict[str, Any]:
        history = self.refreshes.get(request.params["AutoScalingGroupName"], [])
        if not history or history[0]["Status"] not in ("Pending", "InProgress"):
            raise Refusal("ActiveInstanceRefreshNotFound", "no active refresh")
        history[0]["Status"] = "Cancelling"
        return {"InstanceRefreshId": history[0]["InstanceRefreshId"]}


def specifications(source: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The launch templates of a group or of a desired configuration, the base first."""
    if source.get("LaunchTemplate"):
        yield source["LaunchTemplate"]
    mixed = source.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    for each in (mixed, *mixed.get("Overrides", ())):
        if each.get("LaunchTemplateSpecification"):
            yield each["LaunchTemplateSpecification"]


def public(item: dict[str, Any]) -> dict[str, Any]:
    """Without what only the stand-in knows."""
    return {key: value for key, value in item.items() if not key.startswith("_")}
