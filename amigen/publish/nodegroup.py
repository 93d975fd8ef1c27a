"""Version update of an EKS managed node group.

Source: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amigen.aws import calls
from amigen.aws.session import Aws
from amigen.errors import AmigenError
from amigen.publish import names
from amigen.publish.rollout import Group, Release, RolloutError, default_back, go_back, release_for
from amigen.publish.wait import Patience


class ManagedNodegroup:
    """Rolls a node group to a version, and back."""

    def __init__(self, aws: Aws, group: Group, patience: Patience) -> None:
        self._aws, self._group, self._patience = aws, group, patience
        self._names = {"clusterName": group.cluster, "nodegroupName": group.name}

    def to(self, releases: Sequence[Release]) -> str:
        """See `amigen.publish.rollout.roll_out`."""
        current, busy = self._look()
        release = release_for(self._group, str(current.get("id", "")), releases)
        updates = self._updates()
        update = self._running(release, updates) if busy else None
        if busy and update is None:
            current, _ = self._look()  # it has ended between the two looks
        old = str(current.get("version", ""))
        if update is None:
            if old == str(release.version):
                return f"{self._group.text}: has version {release.version}"
            update = self._start(release.template, release.version, after=updates)
        status, reason = self._await(update)
        if status == "Successful":
            return f"{self._group.text}: version {release.version} is rolled out"
        message = f"the update of {self._group.text} to version {release.version} is {status}: {reason}"
        self._patience.say(f"{message}; going back")
        raise go_back(
            message,
            "see the update in EKS and the new version; then publish again",
            lambda: default_back(self._aws, release, self._patience),
            lambda: self._back(release, old, after=(*updates, update)),
        )

    def _back(self, release: Release, old: str, *, after: Sequence[str]) -> str:
        """Bring nodes that are new already back to the old version; says what was done."""
        if not old.isdecimal():
            return "nobody knows which version its nodes had, so they are left"
        try:
            ended, why = self._await(self._start(release.template, int(old), after=after))
        except AmigenError as error:
            raise RolloutError(f"its nodes are not back at version {old}: {error.message}", error.hint) from None
        if ended == "Successful":
            return f"its nodes are back at version {old}"
        return f"bringing its nodes back to version {old} is {ended}: {why}"

    def _look(self) -> tuple[dict[str, Any], bool]:
        """The launch template that the group has, and whether an update is under way."""
        found = self._aws.call(calls.DESCRIBE_NODEGROUP, self._group.region, self._group.text, **self._names)
        group = found["nodegroup"]
        return group.get("launchTemplate") or {}, group.get("status") == "UPDATING"

    def _updates(self) -> tuple[str, ...]:
        found = self._aws.pages(
            calls.LIST_UPDATES,
            self._group.region,
            self._group.text,
            "updateIds",
            name=self._group.cluster,
            nodegroupName=self._group.name,
        )
        return tuple(sorted(map(str, found)))

    def _running(self, release: Release, updates: Sequence[str]) -> str | None:
        """The update to this release that an earlier run began and nobody followed to its end."""
        for update in updates:
            found = self._describe(update)
            if found["status"] != "InProgress":
                continue
            wanted = {p["type"]: p["value"] for p in found.get("params", ())}.get("LaunchTemplateVersion")
            if wanted == str(release.version):
                return update
            raise RolloutError(f"{self._group.text} is in the middle of another update, {update}", "wait for its end")
        return None

    def _start(self, template: str, version: int, *, after: Sequence[str]) -> str:
        """Begin; the token names the updates before: the same intent twice is one update, and later another."""
        answer = self._aws.call(
            calls.UPDATE_NODEGROUP,
            self._group.region,
            self._group.text,
            launchTemplate={"id": template, "version": str(version)},
            clientRequestToken=names.token("nodegroup", *self._names.values(), version, *sorted(after)),
            **self._names,
        )
        return str(answer["update"]["id"])

    def _describe(self, update: str) -> dict[str, Any]:
        found: dict[str, Any] = self._aws.call(
            calls.DESCRIBE_UPDATE,
            self._group.region,
            self._group.text,
            name=self._group.cluster,
            nodegroupName=self._group.name,
            updateId=update,
        )["update"]
        return found

    def _await(self, update: str) -> tuple[str, str]:
        def look() -> tuple[tuple[str, str] | None, str]:
            found = self._describe(update)
            errors = "; ".join(f"{e.get('errorCode')}: {e.get('errorMessage')}" for e in found.get("errors", ()))
            ended = found["status"] in ("Successful", "Failed", "Cancelled")
            return ((str(found["status"]), errors) if ended else None), str(found["status"])

        return self._patience.until(f"{self._group.text}: update {update}", look)
