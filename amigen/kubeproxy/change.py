"""A change of kube-proxy: how it was asked for, all that will happen, and what each way to change it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from amigen.base.errors import RefusedError
from amigen.base.words import shortened
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Resolve
from amigen.kubeproxy.config import text_diff
from amigen.kubeproxy.detect import ChooseBy, WayName
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import Readiness, readiness
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.warnings import warnings
from amigen.kubernetes.kinds import DAEMON_SETS, PODS, Kind

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
        request: How it was asked for.
        before, after: The text of the ConfigMap's key, or the add-on's configurationValues.
        pools: In the order in which they are restarted; one pool of all nodes where it does not go by pool.
        follow: Id of an update that is under way with these very values: it is followed, and none is sent.
    """

    observed: Observed = field(repr=False)
    settings: Settings
    request: ChangeRequest
    way: Way
    before: str = field(repr=False)
    after: str = field(repr=False)
    pools: tuple[Pool, ...]
    follow: str

    @property
    def drift(self) -> tuple[str, ...]:
        """In which way the ConfigMap contradicts what the add-on is set to already."""
        return () if self.follow or self.before != self.after else self.way.drift(self.settings.changes)

    @property
    def changes(self) -> bool:
        """Whether the configuration is written: another one, or the same again, which has not arrived."""
        return not self.follow and (self.before != self.after or self.way.failed or bool(self.drift))

    @property
    def on_delete(self) -> bool:
        """Whether amigen replaces the pods itself, in place of the DaemonSet's rolling update."""
        return self.request.by_pool or daemonset.strategy(self.observed.daemon_set) == "OnDelete"

    @cached_property
    def stale(self) -> tuple[str, ...]:
        """Nodes whose kube-proxy is older than the configuration, or not up since."""
        return tuple(sorted({pod.node for pod in self.observed.pods_behind} & self._members))

    @property
    def nothing_to_do(self) -> bool:
        """Configured so, every pod has read it, and no earlier run is left unfinished."""
        return not (self.changes or self.follow or self.stale or self.observed.held)

    @property
    def _members(self) -> set[str]:
        return {node for pool in self.pools for node in pool.nodes}

    @cached_property
    def readiness(self) -> tuple[Readiness, ...]:
        """Of each node that runs kube-proxy in one of the pools."""
        observed, members = self.observed, self._members
        scheduler = str(self.settings.fields.get("ipvs.scheduler") or observed.config.scheduler)
        return tuple(
            readiness(
                node,
                self.settings.mode,
                scheduler,
                gathered=observed.gathered.get(node.name),
                verified=self.request.verified.get(node.name),
            )
            for node in observed.nodes
            if node.name in members
        )

    @property
    def diff(self) -> str:
        """What is written, as a unified diff; empty where the configuration stays."""
        return text_diff(self.way.shown(self.before), self.way.shown(self.after), self.way.where)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before the change, in the order in which it matters."""
        by_pool = "the ConfigMap is one for all pools: a pod that starts meanwhile, anywhere, has the new mode"
        return (
            *warnings(self.observed, self.settings),
            *self.way.warnings(self),
            *([by_pool] if self.request.by_pool else []),
            *(f"node {node.name} is not Ready" for node in self.observed.nodes if not node.ready),
        )

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls of `apply`, in order."""
        if self.nothing_to_do:
            return ()
        path = DAEMON_SETS.path(daemonset.NAME)
        follow = f"eks:DescribeUpdate: follow the update {self.follow}, which is under way with these values"
        restart = f"annotation {daemonset.RESTARTED} of the pod template (a rollout restart)"
        calls = [
            (self.on_delete, f"PATCH {path}: updateStrategy OnDelete, so that pods are replaced pool by pool"),
            (bool(self.follow), follow),
            (self.changes, self.way.call(self) if self.changes else ""),
            (True, f"PATCH {path}: {restart}, unless an unfinished one is resumed"),
            (
                self.on_delete,
                f"DELETE {PODS.path('POD')}: each old pod of a pool, one first, then the rest of the pool",
            ),
            (self.on_delete, f"PATCH {path}: updateStrategy as it was, after the last pool"),
            (True, "GET /proxyMode of each kube-proxy"),
        ]
        return tuple(call for happens, call in calls if happens)


def refuse_not_ready(plan: ChangePlan) -> None:
    """Raise RefusedError where kube-proxy would exit on some of the nodes."""
    nodes = [one.node for one in plan.readiness if one.verdict == "not ready"]
    if nodes and not plan.nothing_to_do:
        raise RefusedError(
            f"{len(nodes)} nodes are not ready for {plan.settings.mode}: {shortened(nodes, 10)}",
            "kube-proxy would exit there; make them ready, or go by --pool with those that are",
        )


class Way(Protocol):
    """One way to the configuration of an observed cluster; texts are what it is kept as.

    Attributes:
        name, label: In JSON, and in messages.
        by_pool: Whether amigen may restart node pools one by one.
        where: Which text it is, for messages; `current` what is configured now.
        place: `name` and `key` of a saved configuration.
        rights: Verb, kind and name of what it writes in the cluster.
        failed: The last change did not arrive, so the same text is sent again.
    """

    name: WayName
    label: str
    by_pool: bool
    where: str
    current: str
    place: tuple[str, str]
    rights: tuple[tuple[str, Kind, str], ...] = ()
    failed: bool = False

    def edited(self, settings: Settings) -> str:
        """The current text with the settings.

        Raises:
            RefusedError, InputError, AwsError: This way cannot have these settings.
        """

    def restorable(self, saved: Saved) -> str:
        """The mode of a saved configuration. Raises InputError where it belongs elsewhere."""

    def call(self, plan: ChangePlan) -> str:
        """The call that writes."""

    def warnings(self, plan: ChangePlan) -> list[str]:
        """What to know before the change."""

    def write(self, plan: ChangePlan, say: Callable[[str], None], seconds: float, refused: Callable[[], None]) -> None:
        """Write.

        Args:
            say: Takes a line for the user.
            seconds: How long it may take to arrive.
            refused: Undoes what was prepared, where nothing was written.

        Raises:
            ConflictError: It was changed since the plan; nothing was written.
            UnreachableError: Whether it was written is not known.
            KubernetesError, AwsError: It was written and did not arrive.
        """

    def shown(self, text: str) -> str:
        """A text as a diff shows it; the same for two texts that configure the same."""
        return text

    def follow(self, wanted: str) -> str:
        """The id of an update that is under way with the wanted text. Raises ConflictError where it has another one."""
        del wanted
        return ""

    def drift(self, changes: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the cluster does not have what is configured."""
        del changes
        return ()
