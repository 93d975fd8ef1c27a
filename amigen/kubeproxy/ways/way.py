"""What each way to change kube-proxy's configuration can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from amigen.kubeproxy.addon_values import Update
from amigen.kubeproxy.change import ChangePlan
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.rollout import Tools
from amigen.kubeproxy.saved import Saved
from amigen.kubernetes.kinds import Kind

NOTHING_CHANGED = "nothing was changed; run `amigen kube-proxy plan` again, then repeat"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a rollback finds and goes to.

    Attributes:
        current: The configuration now; `same` where it is the saved one already.
        known: It is what amigen left, so no later change would be lost.
        mode: Of the saved configuration.
    """

    current: str
    same: bool
    known: bool
    mode: str


class Way(Protocol):
    """One way: what messages call it, and whether amigen may restart node pools one by one."""

    label: str
    by_pool: bool

    def edited(self, plan: ChangePlan, schema: Mapping[str, Any] | None) -> ChangePlan:
        """The plan with the configuration before and after; `schema` is what the add-on publishes.

        Raises:
            RefusedError, InputError, AwsError: This way cannot have these settings.
        """
        ...

    def resumed(self, plan: ChangePlan, running: Update | None) -> ChangePlan:
        """The plan with what an earlier change has left open. Raises ConflictError where another one is under way."""
        ...

    def call(self, plan: ChangePlan) -> str:
        """The call that writes, for the plan."""
        ...

    def warnings(self, plan: ChangePlan) -> list[str]:
        """What to know before the change."""
        ...

    def rights(self, plan: ChangePlan) -> list[tuple[str, Kind, str]]:
        """Verb, kind and name of what it writes in the cluster."""
        ...

    def place(self, plan: ChangePlan) -> tuple[str, str]:
        """`name` and `key` of a saved configuration."""
        ...

    def write(self, tools: Tools, plan: ChangePlan, refused: Callable[[], None]) -> None:
        """Write; `refused` undoes what was prepared, where nothing was written.

        Raises:
            ConflictError: It was changed since the plan; nothing was written.
            UnreachableError: Whether it was written is not known.
            KubernetesError, AwsError: It was written and did not arrive.
        """
        ...

    def restored(self, observed: Observed, saved: Saved, running: Update | None) -> Restored:
        """What a rollback finds. Raises InputError where the saved configuration belongs elsewhere."""
        ...
