"""Replace kube-proxy's pods and follow each node until its pod is new and ready."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from amigen.base.errors import KubernetesError
from amigen.base.waiting import wait_until
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Addon
from amigen.kubeproxy.daemonset import Json, Pod
from amigen.kubernetes.cluster import Cluster, NotFoundError
from amigen.kubernetes.kinds import DAEMON_SETS, NODES, PODS
from amigen.kubernetes.transport import UnreachableError

_POLL_SECONDS = 2.0
# How long the API server may be away while a rollout goes on: a managed control plane is replaced now and then.
GRACE_SECONDS = 30.0
# kubelet waits 10 s before it starts a crashed container for the second time, and longer each time after that.
RESTART_SECONDS = 12.0
_RESTART_REQUESTS = 3


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a change works with.

    Attributes:
        addon: The EKS add-on; None where no EKS cluster is known.
        seconds: How long the add-on's update, and each pool, may take.
    """

    cluster: Cluster
    addon: Addon | None
    say: Callable[[str], None]
    seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One restart of kube-proxy.

    Attributes:
        stamp: The `restartedAt` that its new pods carry; `digest` that of the configuration they read.
    """

    tools: Tools
    daemon_set: Json
    stamp: str = ""
    digest: str = ""

    @property
    def labels(self) -> str:
        """What kubectl finds the pods by."""
        return daemonset.selector(self.daemon_set)

    def hold(self) -> None:
        """Stop the DaemonSet from replacing pods by itself; what it did before is kept in an annotation."""
        kept = daemonset.kept_strategy(self.daemon_set) or self.daemon_set["spec"].get("updateStrategy") or {}
        if daemonset.strategy(self.daemon_set) == "OnDelete" and not daemonset.kept_strategy(self.daemon_set):
            return
        self._set_strategy({"type": "OnDelete"}, json.dumps(kept, sort_keys=True))

    def release(self) -> None:
        """Give the DaemonSet back the update strategy that it had."""
        kept = daemonset.kept_strategy(self.tools.cluster.get(DAEMON_SETS, daemonset.NAME))
        if kept is not None:
            self._set_strategy(kept, None)

    def _set_strategy(self, strategy: Json, kept: str | None) -> None:
        body = {
            "metadata": {"annotations": {daemonset.KEPT_STRATEGY: kept}},
            "spec": {"updateStrategy": {"$patch": "replace", **strategy}},
        }
        self.tools.cluster.patch(DAEMON_SETS, daemonset.NAME, body)

    def restart(self) -> None:
        """What `kubectl rollout restart` does, and for which configuration."""
        annotations = {daemonset.RESTARTED: self.stamp, daemonset.CONFIG_DIGEST: self.digest}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self.tools.cluster.patch(DAEMON_SETS, daemonset.NAME, body)

    def pods(self) -> tuple[Pod, ...]:
        """kube-proxy's pods now."""
        return daemonset.pods(self.tools.cluster.list(PODS, labels=self.labels), self.daemon_set)

    def delete_old(self, nodes: Iterable[str]) -> None:
        """Delete the old pods on these nodes; the DaemonSet controller makes new ones."""
        for pod in self.pods():
            if pod.node in nodes and pod.stamp != self.stamp and not pod.ending:
                try:
                    self.tools.cluster.delete(PODS, pod.name, uid=pod.uid)
                except NotFoundError:
                    continue

    def follow(self, nodes: tuple[str, ...]) -> None:
        """Wait until each of these nodes has a new, ready pod; nodes that leave the cluster are let go.

        Raises:
            KubernetesError: Not in time; says of each node why.
            UnreachableError: The API server is away for longer than a grace.
        """
        states = dict.fromkeys(nodes, "not seen")
        told: dict[str, str] = {}
        away_since: float | None = None

        def followed() -> bool:
            nonlocal states, away_since
            try:
                present = {item["metadata"]["name"] for item in self.tools.cluster.list(NODES)}
                pods = self.pods()
            except UnreachableError as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since >= GRACE_SECONDS:
                    raise
                self.tools.say(f"  {error.message}; trying again")
                return False
            away_since = None
            states = {node: self._state(node, pods) for node in sorted(states.keys() & present)}
            done = [node for node, state in states.items() if state == "new and ready"]
            for node, state in states.items():
                if told.get(node) != state:
                    told[node] = state
                    self.tools.say(f"  {node}: {state} ({len(done)} of {len(states)} done)")
            return len(done) == len(states)

        if not wait_until(followed, seconds=self.tools.seconds, every=_POLL_SECONDS):
            raise self._late(states)

    def _state(self, node: str, pods: tuple[Pod, ...]) -> str:
        here = [pod for pod in pods if pod.node == node and not pod.ending]
        new = [pod for pod in here if pod.stamp == self.stamp]
        if any(pod.ready for pod in new):
            return "new and ready"
        if new:
            return f"new, not ready: {new[0].why}"
        return "still old" if here else "no pod yet"

    def _late(self, states: dict[str, str]) -> KubernetesError:
        bad = {node: state for node, state in states.items() if state != "new and ready"}
        lines = [f"kube-proxy is not healthy on {len(bad)} of {len(states)} nodes after {self.tools.seconds:.0f} s"]
        lines += [f"  {node}: {state}" for node, state in list(bad.items())[:20]]
        return KubernetesError(
            "\n".join(lines),
            f"kube-proxy's log: kubectl -n kube-system logs -l {self.labels} --tail 20 --prefix",
        )


def restarting_nodes(pods: Callable[[], tuple[Pod, ...]], nodes: Collection[str]) -> dict[str, str]:
    """Whether kube-proxy stays up: a log line says in which mode it started, and not that it still runs.

    Returns:
        The nodes on which kube-proxy restarts, or is not ready, at each of several requests; with why.

    Raises:
        UnreachableError: The API server did not answer the last request.
    """
    if not nodes:
        return {}
    found: dict[str, str] = {}
    before = _of(pods(), nodes)
    for left in reversed(range(_RESTART_REQUESTS)):
        time.sleep(RESTART_SECONDS)
        try:
            now = _of(pods(), nodes)
        except UnreachableError:
            if left:
                continue  # an API server that is away for a moment says nothing of kube-proxy
            raise
        found = {node: why for node in before if (why := _why(before[node], now.get(node)))}
        if not found:
            return {}
        before = before | now
    return found


def _of(pods: tuple[Pod, ...], nodes: Collection[str]) -> dict[str, Pod]:
    return {pod.node: pod for pod in pods if pod.node in nodes and not pod.ending}


def _why(before: Pod, now: Pod | None) -> str:
    if now is None or not now.ready:
        return f"not ready any more: {now.why}" if now else "its pod is gone"
    if (now.uid, now.restarts) != (before.uid, before.restarts):
        return f"restarted {now.restarts} times: {now.why}"
    return ""
