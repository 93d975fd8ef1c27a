"""Version update of an EKS managed node group.

Source: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from amigen.aws import calls
from amigen.aws.errors import CallError
from amigen.base.errors import ConflictError, InputError, RefusedError
from amigen.publish import names
from amigen.publish.steps import Means
from amigen.rollout.group import FailedRolloutError, Group, Release, RolloutError, of_template
from amigen.rollout.roller import LOOKS, Roller


class ManagedNodegroup(Roller):
    """Rolls a node group to a version, and back."""

    template = ""

    def __init__(self, means: Means, group: Group) -> None:
        super().__init__(means, group)
        self._names = {"clusterName": group.cluster, "nodegroupName": group.name}
        self._old = ""
        self._found: dict[str, Any] = {}

    def look(self, releases: Sequence[Release]) -> tuple[str, int | None]:
        current, busy = self._look()
        own = of_template(self._group, str(current.get("id", "")), releases)
        wrong = (*refused_in_template(own.data), *refused_in_group(self._found, own.data))
        if wrong:
            raise RefusedError(
                f"EKS refuses this update of the {self._group.text}: {'; '.join(what for what, _ in wrong)}",
                "; ".join(dict.fromkeys(hint for _, hint in wrong)),
            )
        old = str(current.get("version", ""))
        update, wanted = self._running() if busy else ("", "")
        if update and wanted not in (str(own.version), old, str(own.old)):
            raise self._somebody_else(update, wanted)
        return old, own.version or None

    def to(self, releases: Sequence[Release]) -> str:
        current, busy = self._look()
        release = of_template(self._group, str(current.get("id", "")), releases)
        update, wanted = self._running() if busy else ("", "")
        if update and wanted != str(release.version):
            if wanted not in (str(current.get("version", "")), str(release.old)):
                raise self._somebody_else(update, wanted)
            self._await(update)  # the way back of an earlier run
            update = ""
        if busy and not update:
            current, _ = self._look()  # it has ended between the two looks
        self.template, self._old = release.template, str(current.get("version", ""))
        self.begun = bool(update)
        if not update:
            if self._old == str(release.version):
                return f"{self._group.text}: has version {release.version}"
            update = self._start(release.template, release.version)
        status, reason = self._await(update)
        if status == "Successful":
            self._require_all(release)
            return f"{self._group.text}: version {release.version} is rolled out"
        message = f"the update of {self._group.text} to version {release.version} is {status}: {reason}"
        self._waiter.say(f"{message}; rolling back")
        raise FailedRolloutError(
            message,
            "see the update in EKS and the new version; then publish again",
            [release],
        )

    def back(self, releases: Sequence[Release]) -> str:
        release = of_template(self._group, self.template, releases)
        old = str(release.old) if self._old == str(release.version) else self._old
        if not old.isdecimal():
            raise RolloutError("the previous version of its nodes is unknown; leaving them unchanged")
        return self._brought_back("nodes", old, lambda: self._start(release.template, int(old)))

    def _require_all(self, release: Release) -> None:
        """An update that has ended well may have been somebody else's word, or somebody else came after it."""
        wanted = str(release.version)
        version = self._waiter.settled(
            self._group.text, lambda: str(self._look()[0].get("version", "")), wanted.__eq__, looks=LOOKS
        )
        if version != str(release.version):
            raise RolloutError(
                f"the update of {self._group.text} is Successful, but the group is at version {version or 'unknown'},"
                f" not {release.version}",
                "somebody else may have changed it; look at its updates, then run the same command again",
            )

    def _look(self) -> tuple[dict[str, Any], bool]:
        """The launch template that the group has, and whether an update is under way."""
        try:
            found = self._call(calls.DESCRIBE_NODEGROUP, **self._names)
        except CallError as error:
            if error.code != "ResourceNotFoundException":
                raise
            raise InputError(f"there is no {self._group.text}", "check its name, cluster and region") from None
        group = self._found = found["nodegroup"]
        return group.get("launchTemplate") or {}, group.get("status") == "UPDATING"

    def _somebody_else(self, update: str, wanted: str) -> ConflictError:
        to = f" to version {wanted}" if wanted else ""
        return ConflictError(
            f"{self._group.text} is in the middle of another update{to}, {update}",
            "wait for its end, then run the same command again",
        )

    def _updates(self) -> tuple[str, ...]:
        group = self._group
        found = self._pages(calls.LIST_UPDATES, name=group.cluster, nodegroupName=group.name)
        return tuple(sorted(map(str, found)))

    def _running(self) -> tuple[str, str]:
        """The update that is under way, and the version that it goes to; empty where there is none (any more)."""
        for update in self._updates():
            found = self._describe(update)
            if found["status"] == "InProgress":
                wanted = {p["type"]: p["value"] for p in found.get("params", ())}.get("LaunchTemplateVersion")
                return update, str(wanted or "")
        return "", ""

    def _start(self, template: str, version: int) -> str:
        """Begin; the token names the updates before: the same intent twice is one update, and later another."""
        answer = self._begin(
            calls.UPDATE_NODEGROUP,
            launchTemplate={"id": template, "version": str(version)},
            clientRequestToken=names.token("nodegroup", *self._names.values(), version, *self._updates()),
            **({"force": True} if self._group.preferences.force else {}),
            **self._names,
        )
        return str(answer["update"]["id"])

    def _describe(self, update: str) -> dict[str, Any]:
        named = {"name": self._group.cluster, "nodegroupName": self._group.name, "updateId": update}
        found: dict[str, Any] = self._call(calls.DESCRIBE_UPDATE, **named)["update"]
        return found

    def _await(self, update: str) -> tuple[str, str]:
        def look() -> tuple[tuple[str, str] | None, str]:
            found = self._describe(update)
            errors = "; ".join(f"{e.get('errorCode')}: {e.get('errorMessage')}" for e in found.get("errors", ()))
            ended = found["status"] in ("Successful", "Failed", "Cancelled")
            return ((str(found["status"]), errors) if ended else None), str(found["status"])

        return self._waiter.until(f"{self._group.text}: update {update}", look)


def refused_in_template(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What of a template's data EKS prohibits: in words, with the way out. Pure.

    Sources: https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html (Launch template configuration
    basics), https://docs.aws.amazon.com/eks/latest/APIReference/API_LaunchTemplateSpecification.html
    """
    out = "take it out of the default version of the template, then publish again"
    life = f"EKS controls the life of instances: {out}"
    if data.get("IamInstanceProfile"):
        hint = (
            f"the role of the nodes belongs to the node group: remove aws.launchTemplate.iamInstanceProfile, or {out}"
        )
        yield "the template names an instance profile", hint
    if any(each.get("SubnetId") for each in data.get("NetworkInterfaces", ())):
        yield "the template names the subnet of a network interface", f"subnets belong to the node group: {out}"
    if (data.get("InstanceMarketOptions") or {}).get("MarketType") == "spot":
        yield "the template asks for Spot instances", f"Spot belongs to the node group (capacityType): {out}"
    if (data.get("HibernationOptions") or {}).get("Configured"):
        yield "the template configures hibernation", life
    if data.get("InstanceInitiatedShutdownBehavior"):
        yield "the template sets the shutdown behavior", life


def refused_in_group(group: dict[str, Any], data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What of a node group EKS prohibits beside a launch template: in words, with the way out. Pure.

    Source: https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html (configuration basics; limits and
    conditions when specifying an AMI ID)
    """
    kind, wanted = group.get("amiType"), data.get("InstanceType")
    types = ", ".join(group.get("instanceTypes") or ())
    anew = "make a new node group from this template"
    if kind and kind != "CUSTOM" and data.get("ImageId"):
        what = f"its amiType is {kind}, and a template with an image needs CUSTOM"
        yield what, f"a node group cannot switch to a custom image: {anew}"
    if types and wanted:
        hint = "remove aws.launchTemplate.instanceTypes from the spec and the type from the template"
        yield f"the template names the instance type {wanted}, and the group has {types}", hint
    if group.get("diskSize"):
        yield "the group has a disk size", f"the size belongs to the template (aws.rootVolume): {anew}"
    if group.get("remoteAccess"):
        what = "the group has remote access (an ssh key or source security groups)"
        yield what, f"key and security groups belong to the template: {anew}"
