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
from amigen.errors import AmigenError, InputError, RefusedError
from amigen.publish.rollout import Group, Release, RolloutError, default_back, go_back, release_for
from amigen.publish.wait import Patience, TooLongError

_ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
_BAD = ("Failed", "Cancelled", "RollbackFailed")
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
        refreshes = self._refreshes()
        running = next((r for r in refreshes if r["Status"] in _ACTIVE), None)
        if running is None:
            # Instances of a refresh that ended badly have the version and prove nothing: they are replaced once more.
            bad = bool(refreshes) and refreshes[0]["Status"] in _BAD
            # Looked at once more: a refresh may have ended between the two looks.
            if not bad and _all_at(self._describe(), release):
                return f"{self._group.text}: all its instances have version {release.version}"
            self._start(release.template, release.version, now=version, skip=not bad)
        elif _wanted(running) not in (str(release.version), ""):
            raise RolloutError(
                f"{self._group.text} is in the middle of another instance refresh, to version {_wanted(running)}",
                "wait until it has ended, or cancel it",
            )
        said = self._follow(release, version)
        if running and not _all_at(self._describe(), release):
            # It went to what was the default when it began: the way back of an earlier run.
            self._start(release.template, release.version, now=version)
            said = self._follow(release, version)
        return said

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

    def _start(self, template: str, version: int, *, now: str, skip: bool = True) -> None:
        """Begin.

        A group that names a number is told the new one, and AWS itself goes back to the old one on failure, even if
        nobody looks any more. A group that runs `$Default` keeps doing so; AWS cannot go back for it. `skip` leaves
        instances that have the version already.
        """
        more: dict[str, Any] = {"Preferences": {"SkipMatching": skip}}
        if now.isdigit():
            target = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": str(version)}}
            more = {"Preferences": {"SkipMatching": skip, "AutoRollback": True}, "DesiredConfiguration": target}
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
            self._cancel(error.message)
            status, reason = "too slow", error.message
        if status == "Successful":
            return f"{self._group.text}: version {release.version} is rolled out"
        message = f"the instance refresh of {self._group.text} to version {release.version} is {status}"
        message += f": {reason}" if reason else ""
        self._patience.say(f"{message}; going back")
        steps = [lambda: default_back(self._aws, release, self._patience)]
        if status != "RollbackSuccessful":
            steps.append(lambda: self._back(release, version))
        hint = "see the group's activity and the new version; then publish again"
        # Instances of `$Default` would only be made anew of the bad version where the default is not back.
        raise go_back(message, hint, *steps, ordered=not version.isdigit())

    def _back(self, release: Release, version: str) -> str:
        """Bring instances that are new already back to the old version."""
        old = int(version) if version.isdigit() else release.old
        assert old is not None, "a group of $Default comes back after its default"
        try:
            self._start(release.template, old, now=version)
            status, reason = self._await()
        except AmigenError as error:
            raise RolloutError(f"its instances are not back at version {old}: {error.message}", error.hint) from None
        if status == "Successful":
            return f"its instances are back at version {old}"
        return f"bringing its instances back to version {old} is {status}{f': {reason}' if reason else ''}"

    def _cancel(self, why: str) -> None:
        try:
            self._aws.call(
                calls.CANCEL_REFRESH, self._group.region, self._group.text, AutoScalingGroupName=self._group.name
            )
        except CallError as error:
            if error.code != "ActiveInstanceRefreshNotFound":
                raise RolloutError(f"{why}; it goes on, as it cannot be stopped: {error.message}", error.hint) from None
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
