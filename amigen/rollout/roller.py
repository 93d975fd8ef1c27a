"""What brings one group to a version, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from amigen.aws.answer import Fields
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.base.errors import AmigenError
from amigen.publish.steps import Means
from amigen.rollout.group import Group, Release, RolloutError

LOOKS = 4  # AWS writes the new version to the group a moment after a rollout has ended


class Roller(ABC):
    """Brings one group to a version, and back.

    Attributes:
        begun: Whether nodes are being replaced, or may be: AWS has not refused to begin.
    """

    def __init__(self, means: Means, group: Group) -> None:
        self._means, self._group, self._waiter = means, group, means.waiter
        self.begun = False

    @property
    @abstractmethod
    def template(self) -> str:
        """Id of the group's launch template, after `to` has looked."""

    @abstractmethod
    def look(self, releases: Sequence[Release]) -> tuple[str, int | None]:
        """Which version the group names, and which it would get. Changes nothing.

        Raises:
            InputError: There is no such group, or it uses none of the templates.
            RefusedError: It runs `$Latest`, or could not launch this version.
            ConflictError: Somebody else replaces its nodes now.
            AwsError: A call failed.
        """

    @abstractmethod
    def to(self, releases: Sequence[Release]) -> str:
        """Bring it to the version of its own template.

        Raises:
            FailedRolloutError: The rollout failed, and is to be taken back.
            AmigenError: As `look`.
        """

    @abstractmethod
    def back(self, releases: Sequence[Release]) -> str:
        """Bring nodes that are new already back to the version before; what was done.

        Raises:
            AmigenError: They are not back.
        """

    def _call(self, call: Call, **params: Any) -> Fields:
        return self._means.aws.call(call, self._group.region, self._group.text, **params)

    def _pages(self, call: Call, **params: Any) -> Iterator[Any]:
        return self._means.aws.pages(call, self._group.region, self._group.text, **params)

    def _begin(self, call: Call, **params: Any) -> Fields:
        """A call after which nodes are being replaced, unless AWS has refused it."""
        before, self.begun = self.begun, True
        try:
            return self._call(call, **params)
        except CallError as error:
            self.begun = before or error.concerns_all
            raise

    @abstractmethod
    def _await(self, rollout: str) -> tuple[str, str]:
        """The status of a rollout at its end, and the reason."""

    def _brought_back(self, nodes: str, old: str, begin: Callable[[], str]) -> str:
        """Bring nodes that are new already back to the old version by the rollout that `begin` begins; what was done.

        Raises:
            RolloutError: They are not back.
        """
        try:
            status, reason = self._await(begin())
        except AmigenError as error:
            raise RolloutError(f"its {nodes} are not back at version {old}: {error.message}", error.hint) from None
        if status == "Successful":
            return f"its {nodes} are back at version {old}"
        because = f": {reason}" if reason else ""
        raise RolloutError(f"bringing its {nodes} back to version {old} is {status}{because}")
