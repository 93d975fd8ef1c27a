"""Instance refresh of an Auto Scaling group.

Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html and
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.errors import InputError, RefusedError
from amigen.publish.rollout import Group, Release, RolloutError, default_back, release_for
from amigen.publish.wait import Patience, TooLongError

_ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
_ENDED = ("Successful", "Failed", "Cancelled", "RollbackSuccessful", "RollbackFailed")


class InstanceRefresh:
    """Rolls a group to a version, and back."""

    def __init__(self, aws: Aws, group: Group, patience: Patience) -> None:
        self._aws, self._group, self._patience = aws, group, patience

    def to(self, releases: Sequence[Release]) -> str:
        """See `amigen.publish.rollout.roll_out`."""
        group = self._describe()
        own = _own_template(group)
        release = release_for(self._group, own.get("LaunchTemplateId", ""), releases)
        version = str(own.get("Version") or "$Default")
        if version == "$Latest":
            raise RefusedError(
                f"{self._group.text} runs $Latest: every new version of its template goes live at once, proven or not",
                "set the group to $Default, or to a version number",
            )
        running = next((r for r in self._refreshes() if r["Status"] in _ACTIVE), None)
        if running is None:
            if _all_at(group, release):
                return f"{self._group.text}: all its instances have version {release.version}"
            self._start(release.template, release.version, now=version)
        elif _wanted(running) not in (str(release.version), ""):
            raise RolloutError(
                f"{self._group.text} is in the middle of another instance refresh, to version {_wanted(running)}",
                "wait until it has ended, or cancel it",
            )
        return self._follow(release, version)

    def _describe(self) -> dict[str, Any]:
        found = self._aws.pages(
            calls.DESCRIBE_GROUPS,
            self._group.region,
            self._group.text,
            "AutoScalingGroups",
            AutoScalingGroupNames=[self._group.name],
        )
        group: dict[str, Any] | None = next(found, None)
        if group is None:
            raise InputError(f"there is no {self._group.text}", "check its name and region")
        return group

    def _refreshes(self) -> list[dict[str, Any]]:
        """Newest first."""
        answer = self._aws.call(
            calls.DESCRIBE_REFRESHES,
            self._group.region,
            self._group.text,
            AutoScalingGroupName=self._group.name,
            MaxRecords=10,
        )
        return list(answer.get("InstanceRefreshes", ()))

    def _start(self, template: str, version: int, *, now: str) -> None:
        """Begin.

        A group that names a number is told the new one, and AWS itself goes back to the old one on failure, even if
        nobody looks any more. A group that runs `$Default` keeps doing so; AWS cannot go back for it.
        """
        more: dict[str, Any] = {"Preferences": {"SkipMatching": True}}
        if now.isdigit():
            target = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": str(version)}}
            more = {"Preferences": {"SkipMatching": True, "AutoRollback": True}, "DesiredConfiguration": target}
        try:
            self._aws.call(
                calls.START_REFRESH,
                self._group.region,
                self._group.text,
                AutoScalingGroupName=self._group.name,
                Strategy="Rolling",
                **more,
            )
        except CallError as error:
            # A repeated call whose first answer was lost: the refresh that runs is ours.
            if error.code != "InstanceRefreshInProgress":
                raise

    def _follow(self, release: Release, version: str) -> str:
        try:
            status, reason = self._await()
        except TooLongError as error:
            self._cancel()
            status, reason = "too slow", error.message
        if status == "Successful":
            return f"{self._group.text}: version {release.version} is rolled out"
        message = f"the instance refresh of {self._group.text} to version {release.version} is {status}"
        message += f": {reason}" if reason else ""
        self._patience.say(f"{message}; going back")
        said = default_back(self._aws, release, self._patience)
        if status != "RollbackSuccessful":
            said += f"; {self._back(release, version)}"
        raise RolloutError(f"{message}; {said}", "see the group's activity and the new version; then publish again")

    def _back(self, release: Release, version: str) -> str:
        """Bring instances that are new already back to the old version."""
        old = int(version) if version.isdigit() else release.old
        if old is None:
            return "instances of the new version are left"
        self._start(release.template, old, now=version)
        status, reason = self._await()
        if status == "Successful":
            return f"its instances are back at version {old}"
        return f"bringing its instances back to version {old} is {status}{f': {reason}' if reason else ''}"

    def _cancel(self) -> None:
        try:
            self._aws.call(
                calls.CANCEL_REFRESH, self._group.region, self._group.text, AutoScalingGroupName=self._group.name
            )
        except CallError as error:
            if error.code != "ActiveInstanceRefreshNotFound":
                raise
        self._await()

    def _await(self) -> tuple[str, str]:
        def look() -> tuple[tuple[str, str] | None, str]:
            newest = (self._refreshes() or [{"Status": "Pending"}])[0]
            status = str(newest["Status"])
            seen = f"{status}, {newest.get('PercentageComplete', 0)} %"
            return ((status, str(newest.get("StatusReason", ""))) if status in _ENDED else None), seen

        return self._patience.until(self._group.text, look)


def _wanted(refresh: dict[str, Any]) -> str:
    """The version of a refresh; empty for one without a configuration of its own."""
    template = (refresh.get("DesiredConfiguration") or {}).get("LaunchTemplate") or {}
    return str(template.get("Version", ""))


def _all_at(group: dict[str, Any], release: Release) -> bool:
    wanted = {"LaunchTemplateId": release.template, "Version": str(release.version)}
    own = str(_own_template(group).get("Version") or "$Default")
    return own in ("$Default", wanted["Version"]) and all(
        {k: str(i.get("LaunchTemplate", {}).get(k, "")) for k in wanted} == wanted for i in group.get("Instances", ())
    )


def _own_template(group: dict[str, Any]) -> dict[str, Any]:
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    found: dict[str, Any] = group.get("LaunchTemplate") or mixed or {}
    return found
