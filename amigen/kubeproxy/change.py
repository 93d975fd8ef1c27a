"""A change of kube-proxy: how it was asked for, all that will happen, and what each way to change it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from amigen.base.errors import RefusedError
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Resolve, Update
from amigen.kubeproxy.detect import ChooseBy, WayName
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import Readiness
from amigen.kubeproxy.rollout import Tools
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings
from amigen.kubernetes.kinds import Kind

NOTHING_CHANGED = "nothing was changed; run `amigen kube-proxy plan` again, then repeat"


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """What the user asked for, besides the settings.

    Attributes:
        by_pool: Restart node pool by node pool; `pools` names them in order, empty: all, by name.
        verified: Of each verified node the outcome by check id, out of a report of `amigen verify`.
    """

    by: ChooseBy = "auto"
    despite_addon: bool = False
    cluster_name: str = ""
    resolve: Resolve = "OVERWRITE"
    by_pool: bool = False
    pools: tuple[str, ...] = ()
    verified: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A node pool with its nodes that run kube-proxy."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ChangePlan:
    """All that will happen, before it happens.

    Attributes:
        request: How it was asked for; with the name of the EKS cluster, where one is known.
        before, after: The text of the ConfigMap's key, or the add-on's configurationValues; `diff` their difference.
        pools: In the order in which they are restarted; one pool of all nodes where it does not go by pool.
        repeat: True where the same values are sent again: the last update failed, or the ConfigMap does not have it.
        drift: In which way the ConfigMap contradicts what the add-on is set to already.
        follow: Id of an update that is under way with these very values: it is followed, and none is sent.
        stale: Nodes whose kube-proxy is older than the configuration, or not up since.
    """

    observed: Observed = field(repr=False)
    settings: Settings
    request: ChangeRequest
    way: WayName
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)
    diff: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()
    readiness: tuple[Readiness, ...] = ()
    calls: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    stale: tuple[str, ...] = ()
    repeat: bool = False
    drift: tuple[str, ...] = ()
    follow: str = ""

    @property
    def changes(self) -> bool:
        """Whether the configuration itself will be written."""
        return not self.follow and (self.before != self.after or self.repeat)

    @property
    def on_delete(self) -> bool:
        """Whether amigen replaces the pods itself, in place of the DaemonSet's rolling update."""
        return self.request.by_pool or daemonset.strategy(self.observed.daemon_set) == "OnDelete"

    @property
    def nothing_to_do(self) -> bool:
        """Configured so, every pod has read it, and no earlier run is left unfinished."""
        return not (self.changes or self.follow or self.stale or self.observed.held)


def refuse_not_ready(plan: ChangePlan) -> None:
    """Raise RefusedError where kube-proxy would exit on some of the nodes."""
    nodes = [one.node for one in plan.readiness if one.verdict == "not ready"]
    if nodes and not plan.nothing_to_do:
        raise RefusedError(
            f"{len(nodes)} nodes are not ready for {plan.settings.mode}: {', '.join(nodes[:10])}",
            "kube-proxy would exit there; make them ready, or go by --pool with those that are",
        )


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
