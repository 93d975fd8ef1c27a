"""Carry out a plan: save, write, restart, follow, read back; stop at the first pool that is not healthy.

One idea: each step leaves what `apply` again goes on from and `rollback` goes back from.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from amigen.base.errors import AmigenError, KubernetesError
from amigen.base.waiting import attempts, wait_until
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.change import ChangePlan, Pool
from amigen.kubeproxy.daemonset import Json, Pod
from amigen.kubeproxy.node_facts import NodeMode
from amigen.kubeproxy.observe import embedded, read_modes
from amigen.kubeproxy.saved import Saved, save
from amigen.kubernetes.cluster import Cluster, ForbiddenError, NotFoundError
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, NODES, PODS, Kind
from amigen.kubernetes.transport import UnreachableError

_POLL_SECONDS = 2.0
# How long the API server may be away while a rollout goes on: a managed control plane is replaced now and then.
GRACE_SECONDS = 30.0
# kubelet waits 10 s before it starts a crashed container for the second time, and longer each time after that.
RESTART_SECONDS = 12.0
_RESTART_REQUESTS = 3
# kube-proxy counts as ready before it has chosen its mode: it has no readiness probe. So the mode is asked again.
# Where nothing answers at all (the API server cannot reach it, the log is rotated), shorter.
_MODE_SECONDS, _SILENT_SECONDS = 30.0, 6.0
_DONE = "new and ready"


@dataclass(kw_only=True)
class Executor:
    """Carries out one plan.

    Attributes:
        say: Takes a line for the user.
        seconds: How long the add-on's update, and each pool, may take.
        back: The command that goes back to a saved configuration (None: the newest).
        stamp: The `restartedAt` that new pods carry, and `daemon_set` their owner; empty before the restart.
    """

    plan: ChangePlan
    say: Callable[[str], None]
    seconds: float
    back: Callable[[Path | None], str]
    stamp: str = ""
    daemon_set: Json = field(default_factory=dict)

    def apply(self, *, back: bool = False) -> tuple[NodeMode, ...]:
        """Do it; the mode of each node afterwards.

        Args:
            back: True for a rollback, which does not become the next rollback's target.

        Raises:
            ConflictError: Somebody changed the configuration since the plan.
            ForbiddenError: A right is missing; nothing was changed.
            KubernetesError, AwsError: It did not get healthy; the message has the saved configuration and the way back.
        """
        self._check_rights()
        path = self._save(aside=back) if self.plan.changes else None
        if path:
            self.say(f"saved the previous configuration: {path}")
        try:
            self._write(path)
            return self._restart()
        except AmigenError as error:
            error.hint = "\n  ".join(part for part in (error.hint, *self._way_back(path)) if part)
            raise
        except KeyboardInterrupt:
            for line in ("interrupted; the cluster stays as it is now", *self._way_back(path)):
                self.say(line)
            raise

    def _way_back(self, path: Path | None) -> tuple[str, ...]:
        if path is not None and not path.exists():
            return ()  # nothing was changed
        saved = (f"saved configuration: {path}",) if path else ()
        return (*saved, f"way back: {self.back(path)}")

    def _check_rights(self) -> None:
        wanted: list[tuple[str, Kind, str]] = [("list", PODS, ""), ("list", NODES, "")]
        wanted += self.plan.way.rights if self.plan.changes else []
        wanted += [("get", DAEMON_SETS, daemonset.NAME), ("patch", DAEMON_SETS, daemonset.NAME)]
        wanted += [("delete", PODS, "")] if self.plan.on_delete else []
        missing = [(verb, kind) for verb, kind, name in wanted if not self._cluster.may(verb, kind, name)]
        if missing:
            names = ", ".join(f"verb {verb!r} on resource {kind.plural}" for verb, kind in missing)
            verb, kind = missing[0]
            raise ForbiddenError(
                f"not allowed in this cluster, so nothing was changed: {names}",
                f"ask for a role with these verbs; check with `kubectl -n kube-system auth can-i {verb} {kind.plural}`",
            )

    def _save(self, *, aside: bool) -> Path:
        """Keep what is configured now."""
        name, key = self.plan.way.place
        return save(
            Saved(
                format="amigen kube-proxy 1",
                cluster=self._cluster.name,
                server=self._cluster.server,
                way=self.plan.way.name,
                name=name,
                key=key,
                before=self.plan.before,
                after=self.plan.after,
                at=self._cluster.now(),
            ),
            aside=aside,
        )

    def _write(self, path: Path | None) -> None:
        """The configuration; where pods are replaced by amigen, the DaemonSet is held first."""
        if self.plan.on_delete:
            self._hold()

        def refused() -> None:
            if path is not None:
                path.unlink()
            if self.plan.on_delete:
                self._release()

        if self.plan.changes or self.plan.follow:
            self.plan.way.write(self.plan, self.say, self.seconds, refused)

    def _hold(self) -> None:
        """Stop the DaemonSet from replacing pods by itself; what it did before is kept in an annotation."""
        found = self.plan.observed.daemon_set
        kept = daemonset.kept_strategy(found)
        if kept or daemonset.strategy(found) != "OnDelete":
            before = kept or found["spec"].get("updateStrategy") or {}
            self._set_strategy({"type": "OnDelete"}, json.dumps(before, sort_keys=True))

    def _release(self) -> None:
        """Give the DaemonSet back the update strategy that it had."""
        kept = daemonset.kept_strategy(self._cluster.get(DAEMON_SETS, daemonset.NAME))
        if kept is not None:
            self._set_strategy(kept, None)

    def _set_strategy(self, strategy: Json, kept: str | None) -> None:
        body = {
            "metadata": {"annotations": {daemonset.KEPT_STRATEGY: kept}},
            "spec": {"updateStrategy": {"$patch": "replace", **strategy}},
        }
        self._cluster.patch(DAEMON_SETS, daemonset.NAME, body)

    def _restart(self) -> tuple[NodeMode, ...]:
        """Pool by pool; the mode of each node afterwards."""
        source = self.plan.observed.source
        self.daemon_set = self._cluster.get(DAEMON_SETS, daemonset.NAME)
        digest = daemonset.digest(embedded(self._cluster.get(CONFIG_MAPS, source.name), source).text)
        self.stamp, begun_for = daemonset.restarted_for(self.daemon_set)
        # Resume a restart that an unfinished run began for this very configuration.
        if self.plan.changes or not self.stamp or begun_for != digest:
            self.stamp = self._new_stamp(self.stamp)
            # What `kubectl rollout restart` does, and for which configuration.
            annotations = {daemonset.RESTARTED: self.stamp, daemonset.CONFIG_DIGEST: digest}
            body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
            self._cluster.patch(DAEMON_SETS, daemonset.NAME, body)
            self.say("restarted DaemonSet kube-proxy")
        modes = [mode for pool in self.plan.pools for mode in self._restart_pool(pool)]
        left = {pod.node for pod in self._pods() if pod.stamp != self.stamp and not pod.ending}
        if not left:
            self._release()
        elif self.plan.on_delete:
            self.say(
                f"{len(left)} nodes of other pools still run the old kube-proxy; `apply` again continues with them"
            )
        return tuple(modes)

    def _new_stamp(self, old: str) -> str:
        """The server's time; in a later second than the last restart."""
        for _ in attempts(seconds=math.inf, every=0.3):
            self._cluster.version()  # each answer has the time
            if self._cluster.now() != old:
                break
        return self._cluster.now()

    def _restart_pool(self, pool: Pool) -> tuple[NodeMode, ...]:
        self.say(f"{f'pool {pool.name}' if self.plan.request.by_pool else pool.name}: {len(pool.nodes)} nodes")
        if not (self.plan.on_delete and pool.nodes):
            self._follow(pool.nodes)
            return self._require_healthy(pool.nodes)
        # One node first: a mode that cannot work stops there.
        for part in (pool.nodes[:1], pool.nodes[1:]):
            for pod in self._pods():
                if pod.node in part and pod.stamp != self.stamp and not pod.ending:
                    with suppress(NotFoundError):
                        self._cluster.delete(PODS, pod.name, uid=pod.uid)
            self._follow(part)
            self._require_healthy(part)
        return self._modes(pool.nodes)

    @property
    def _cluster(self) -> Cluster:
        return self.plan.observed.cluster

    @property
    def _labels(self) -> str:
        return daemonset.selector(self.daemon_set)

    def _pods(self) -> tuple[Pod, ...]:
        return daemonset.pods(self._cluster.list(PODS, labels=self._labels), self.daemon_set)

    def _modes(self, nodes: tuple[str, ...]) -> tuple[NodeMode, ...]:
        pods = [pod for pod in self._pods() if pod.node in nodes]
        return read_modes(self.plan.observed, pods)

    def _follow(self, nodes: tuple[str, ...]) -> None:
        """Wait until each of these nodes has a new, ready pod; nodes that leave the cluster are let go.

        Raises:
            KubernetesError: Not in time; says of each node why.
            UnreachableError: The API server is away for longer than a grace.
        """
        states = dict.fromkeys(nodes, "not seen")
        told: dict[str, str] = {}
        away_since: float | None = None
        for _ in attempts(seconds=self.seconds, every=_POLL_SECONDS):
            try:
                present = {item["metadata"]["name"] for item in self._cluster.list(NODES)}
                pods = self._pods()
            except UnreachableError as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since >= GRACE_SECONDS:
                    raise
                self.say(f"  {error.message}; trying again")
                continue
            away_since = None
            states = {node: self._state(node, pods) for node in sorted(states.keys() & present)}
            done = [node for node, state in states.items() if state == _DONE]
            for node, state in states.items():
                if told.get(node) != state:
                    told[node] = state
                    self.say(f"  {node}: {state} ({len(done)} of {len(states)} done)")
            if len(done) == len(states):
                return
        bad = {node: state for node, state in states.items() if state != _DONE}
        raise _unhealthy(
            f"kube-proxy is not healthy on {len(bad)} of {len(states)} nodes after {self.seconds:.0f} s",
            dict(list(bad.items())[:20]),
            f"kube-proxy's log: kubectl -n kube-system logs -l {self._labels} --tail 20 --prefix",
        )

    def _state(self, node: str, pods: tuple[Pod, ...]) -> str:
        here = [pod for pod in pods if pod.node == node and not pod.ending]
        new = [pod for pod in here if pod.stamp == self.stamp]
        if any(pod.ready for pod in new):
            return _DONE
        if new:
            return f"new, not ready: {new[0].why}"
        return "still old" if here else "no pod yet"

    def _require_healthy(self, nodes: tuple[str, ...]) -> tuple[NodeMode, ...]:
        """Each node that was Ready still is, and kube-proxy runs in the wanted mode wherever that can be read."""
        if not nodes:
            return ()
        wanted = self.plan.settings.mode
        modes: tuple[NodeMode, ...] = ()

        def right() -> bool:
            nonlocal modes
            modes = self._modes(nodes)
            return all(one.mode == wanted for one in modes)

        def other() -> dict[str, str]:
            return {one.node: f"{one.mode} (by {one.by})" for one in modes if one.mode not in ("", wanted)}

        wait_until(lambda: right() or bool(other()), seconds=_SILENT_SECONDS, every=2.0)
        if other() and not wait_until(right, seconds=_MODE_SECONDS, every=2.0) and other():
            raise _unhealthy(
                f"kube-proxy does not run in {wanted} mode on {len(other())} of {len(nodes)} nodes",
                other(),
                "its log says why: it exits rather than fall back to another mode",
            )
        if restarting := restarting_nodes(self._pods, [one.node for one in modes if one.by == "log"]):
            raise _unhealthy(
                f"kube-proxy does not stay up on {len(restarting)} of {len(nodes)} nodes",
                restarting,
                f"its last log lines: kubectl -n kube-system logs --previous -l {self._labels} --tail 20 --prefix",
            )
        was = {node.name for node in self.plan.observed.nodes if node.ready}
        now = daemonset.nodes(self._cluster.list(NODES))
        if lost := [one.name for one in now if one.name in was.intersection(nodes) and not one.ready]:
            raise KubernetesError(f"nodes are no longer Ready: {', '.join(lost)}", "`kubectl describe node` says why")
        return modes


def _unhealthy(what: str, nodes: dict[str, str], hint: str) -> KubernetesError:
    return KubernetesError("\n".join([what, *(f"  {node}: {why}" for node, why in nodes.items())]), hint)


def restarting_nodes(pods: Callable[[], tuple[Pod, ...]], nodes: Collection[str]) -> dict[str, str]:
    """Whether kube-proxy stays up: a log line says in which mode it started, and not that it still runs.

    Returns:
        The nodes on which kube-proxy restarts, or is not ready, at each of several requests; with why.

    Raises:
        UnreachableError: The API server did not answer the last request.
    """
    if not nodes:
        return {}

    def look() -> dict[str, Pod]:
        return {pod.node: pod for pod in pods() if pod.node in nodes and not pod.ending}

    found: dict[str, str] = {}
    before = look()
    for left in reversed(range(_RESTART_REQUESTS)):
        time.sleep(RESTART_SECONDS)
        try:
            now = look()
        except UnreachableError:
            if left:
                continue  # an API server that is away for a moment says nothing of kube-proxy
            raise
        found = {node: why for node in before if (why := _why(before[node], now.get(node)))}
        if not found:
            return {}
        before = before | now
    return found


def _why(before: Pod, now: Pod | None) -> str:
    if now is None or not now.ready:
        return f"not ready any more: {now.why}" if now else "its pod is gone"
    if (now.uid, now.restarts) != (before.uid, before.restarts):
        return f"restarted {now.restarts} times: {now.why}"
    return ""
