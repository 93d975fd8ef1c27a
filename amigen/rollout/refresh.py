"""Instance refresh of an Auto Scaling group.

Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh-skip-matching.html and
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from amigen.aws import calls, model
from amigen.aws.errors import CallError
from amigen.base.errors import ConflictError, InputError, RefusedError
from amigen.base.words import shortened
from amigen.publish.steps import Means
from amigen.publish.wait import TooLongError
from amigen.rollout import templates
from amigen.rollout.group import FailedRolloutError, Group, Release, RolloutError, of_template
from amigen.rollout.roller import LOOKS, Roller

_ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
_BAD = ("Failed", "Cancelled", "RollbackFailed")
_ENDED = ("Successful", "Failed", "Cancelled", "RollbackSuccessful", "RollbackFailed")


class InstanceRefresh(Roller):
    """Rolls a group to a version, and back."""

    def __init__(self, means: Means, group: Group) -> None:
        super().__init__(means, group)
        self._before: dict[str, Any] = {}
        self._releases: Sequence[Release] = ()

    @property
    def template(self) -> str:
        return templates.base(self._before)[0]

    def look(self, releases: Sequence[Release]) -> tuple[str, int | None]:
        group = self._describe()
        template, version = templates.base(group)
        own = of_template(self._group, template, releases)
        self._refuse_latest(group, {each.template for each in releases})
        # A version that is not made yet is 0, to which no refresh can go.
        new = {each.template: each.version for each in releases}
        self._forward(group, new)
        running = self._running()
        old = {each.template: each.old for each in releases if each.old}
        if running and not (self._goes_to(running, group, new) or self._returns(running, group, old)):
            raise self._somebody_else(running)
        return version, own.version or None

    def to(self, releases: Sequence[Release]) -> str:
        self._releases = releases
        group = self._before = self._describe()
        template, _ = templates.base(group)
        release = of_template(self._group, template, releases)
        new = {each.template: each.version for each in releases}
        self._refuse_latest(group, set(new))
        refreshes = self._refreshes()
        running = next((r for r in refreshes if r["Status"] in _ACTIVE), None)
        if running and not self._goes_to(running, group, new):
            if not self._returns(running, group, {each.template: each.old for each in releases if each.old}):
                raise self._somebody_else(running)
            self._await(running["InstanceRefreshId"])
            group = self._before = self._describe()
            refreshes, running = self._refreshes(), None
        if running is None:
            # Instances of a refresh that ended badly have the version and prove nothing: they are replaced once more.
            bad = bool(refreshes) and refreshes[0]["Status"] in _BAD
            # The group is looked at once more: a refresh may have ended between the two looks.
            if not bad and not templates.elsewhere(self._describe(), new):
                return f"{self._group.text}: all its instances have version {release.version}"
            desired = self._forward(group, new)
            refresh, found = self._start(desired, skip=not bad, rollback=self._aws_goes_back(desired))
        else:
            refresh, found, self.begun = str(running["InstanceRefreshId"]), True, True
        self._follow(refresh, release)
        if found and templates.elsewhere(self._describe(), new):
            # It went to what was the default when it began: the way back of an earlier run.
            desired = self._forward(group, new)
            refresh, _ = self._start(desired, skip=True, rollback=self._aws_goes_back(desired))
            self._follow(refresh, release)
        self._require_all(new, release)
        return f"{self._group.text}: version {release.version} is rolled out"

    def back(self, releases: Sequence[Release]) -> str:
        self._releases = releases
        desired = self._way_back()
        release = of_template(self._group, self.template, releases)
        version = templates.base(desired)[1] if desired else "$Default"
        old = version if version.isdigit() else str(release.old)
        return self._brought_back("instances", old, lambda: self._start(desired, skip=True)[0])

    # -- what is there -------------------------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        found = self._pages(calls.DESCRIBE_GROUPS, AutoScalingGroupNames=[self._group.name])
        group: dict[str, Any] | None = next(found, None)
        if group is None:
            raise InputError(f"there is no {self._group.text}", "check its name and region")
        return group

    def _refreshes(self, *ids: str) -> list[dict[str, Any]]:
        """Newest first; or only this one."""
        more = {"InstanceRefreshIds": list(ids)} if ids else {"MaxRecords": 10}
        answer = self._call(calls.DESCRIBE_REFRESHES, AutoScalingGroupName=self._group.name, **more)
        return list(answer.get("InstanceRefreshes", ()))

    def _running(self) -> dict[str, Any] | None:
        return next((r for r in self._refreshes() if r["Status"] in _ACTIVE), None)

    def _refuse_latest(self, group: dict[str, Any], ours: set[str]) -> None:
        if any(template in ours and version == "$Latest" for template, version in templates.signature(group)):
            raise RefusedError(
                f"{self._group.text} runs $Latest: every new version of its template goes live at once, proven or not",
                "set the group to $Default, or to a version number",
            )

    def _somebody_else(self, running: dict[str, Any]) -> ConflictError:
        wanted = templates.signature(running.get("DesiredConfiguration") or {})
        to = f" to version {wanted[0][1]}" if wanted else ""
        return ConflictError(
            f"{self._group.text} is in the middle of another instance refresh{to}, {running['InstanceRefreshId']}",
            "wait until it has ended, or cancel it; then run the same command again",
        )

    def _goes_to(self, running: dict[str, Any], group: dict[str, Any], versions: dict[str, int]) -> bool:
        wanted = templates.signature(running.get("DesiredConfiguration") or {})
        return wanted == templates.signature(self._forward(group, versions))

    def _returns(self, running: dict[str, Any], group: dict[str, Any], old: dict[str, int]) -> bool:
        """It makes instances anew of what the group names now, or goes back to what was the default: it is the way back
        of an earlier run, and worth waiting for.
        """
        wanted = templates.signature(running.get("DesiredConfiguration") or {})
        return not wanted or wanted == templates.signature(group) or self._goes_to(running, group, old)

    def _forward(self, group: dict[str, Any], new: dict[str, int]) -> dict[str, Any]:
        """What the group is to be; empty for one that names no number, which gets what is the default."""
        if not any(version.isdigit() for template, version in templates.signature(group) if template in new):
            return {}
        if group.get("MixedInstancesPolicy") and not model.knows("autoscaling", "LaunchTemplateOverrides", "ImageId"):
            raise RefusedError(
                f"{self._group.text} has a mixed instances policy, and this machine's botocore does not know all of it",
                "update botocore: what it does not know would be lost",
            )
        return templates.configuration(group, templates.forward(new))

    def _require_all(self, new: dict[str, int], release: Release) -> None:
        left = self._waiter.settled(
            self._group.text, lambda: templates.elsewhere(self._describe(), new), operator.not_, looks=LOOKS
        )
        if left:
            raise RolloutError(
                f"the instance refresh of {self._group.text} is Successful, but not all of it is at version"
                f" {release.version}: {shortened(left, 5)}",
                "instances in standby or protected from scale in are left by some refreshes; somebody else may have"
                " changed the group; then run the same command again",
            )

    # -- there and back ------------------------------------------------------------------------------------------------

    def _start(self, desired: dict[str, Any], *, skip: bool, rollback: bool = False) -> tuple[str, bool]:
        """Begin, and tell which refresh it is; and whether it was found running.

        A group that names numbers is told the new ones, and with `rollback` AWS itself goes back to the old ones on
        failure, even if nobody looks any more. A group that runs `$Default` keeps doing so; AWS cannot go back for it,
        nor for a template that has a parameter in place of its AMI id. `skip` leaves instances that have the version
        already.
        """
        more: dict[str, Any] = {"Preferences": {"SkipMatching": skip, **self._group.preferences.of_refresh()}}
        if desired:
            more["DesiredConfiguration"] = desired
        if rollback:
            more["Preferences"]["AutoRollback"] = True
        try:
            answer = self._begin(calls.START_REFRESH, AutoScalingGroupName=self._group.name, Strategy="Rolling", **more)
        except CallError as error:
            if error.code != "InstanceRefreshInProgress":
                raise
            self.begun = True
            # A repeated call whose first answer was lost, and the refresh that runs is ours; or somebody was faster.
            running = self._running()
            if running is None:
                raise
            if templates.signature(running.get("DesiredConfiguration") or {}) != templates.signature(desired):
                raise self._somebody_else(running) from None
            return str(running["InstanceRefreshId"]), True
        return str(answer["InstanceRefreshId"]), False

    def _aws_goes_back(self, desired: dict[str, Any]) -> bool:
        """AutoRollback needs numbers only, and image ids (API_RollbackInstanceRefresh)."""
        named = (*templates.signature(self._before), *templates.signature(desired))
        by_parameter = {(r.template, str(number)) for r in self._releases for number in r.resolving}
        ours = {r.template for r in self._releases}
        return bool(desired) and all(
            version.isdigit() and template in ours and (template, version) not in by_parameter
            for template, version in named
        )

    def _follow(self, refresh: str, release: Release) -> None:
        """To its end.

        Raises:
            RolloutError: It did not succeed, and was taken back.
        """
        try:
            status, reason = self._await(refresh)
        except TooLongError as error:
            self._cancel(refresh, error.message)
            status, reason = "too slow", error.message
        if status == "Successful":
            return
        message = f"the instance refresh of {self._group.text} to version {release.version} is {status}"
        message += f": {reason}" if reason else ""
        self._waiter.say(f"{message}; rolling back")
        used = {template for template, _ in templates.signature(self._before)}
        raise FailedRolloutError(
            message,
            "see the group's activity and the new version; then publish again",
            [each for each in self._releases if each.template in used],
            by_aws=status == "RollbackSuccessful",
            # What `$Default` and parameters say decides what instances are made of.
            ordered=not self._aws_goes_back(self._way_back()),
        )

    def _way_back(self) -> dict[str, Any]:
        """What the group was before; empty for one that names no number."""
        new = {each.template: each.version for each in self._releases}
        old = {each.template: each.old for each in self._releases if each.old is not None}
        if not self._forward(self._before, new):
            return {}
        return templates.configuration(self._before, templates.backward(new, old))

    def _cancel(self, refresh: str, why: str) -> None:
        try:
            self._call(calls.CANCEL_REFRESH, AutoScalingGroupName=self._group.name)
        except CallError as error:
            if error.code != "ActiveInstanceRefreshNotFound":
                raise RolloutError(f"{why}; it goes on, as it cannot be stopped: {error.message}", error.hint) from None
        self._await(refresh)

    def _await(self, refresh: str) -> tuple[str, str]:
        def look() -> tuple[tuple[str, str] | None, str]:
            found = (self._refreshes(refresh) or [{"Status": "Pending"}])[0]
            status = str(found["Status"])
            seen = f"{status}, {found.get('PercentageComplete', 0)} %"
            return ((status, str(found.get("StatusReason", ""))) if status in _ENDED else None), seen

        return self._waiter.until(self._group.text, look)
