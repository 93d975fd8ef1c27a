"""Carry out a plan: save, write, restart, follow, read back; stop at the first pool that is not healthy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import AmigenError, KubernetesError
from amigen.base.waiting import wait_until
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.change import ChangePlan, Pool
from amigen.kubeproxy.node_facts import NodeMode
from amigen.kubeproxy.observe import Connector, embedded, read_modes
from amigen.kubeproxy.rollout import Rollout, Tools, restarting_nodes
from amigen.kubeproxy.saved import Saved, save
from amigen.kubernetes.cluster import ForbiddenError
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, NODES, PODS, Kind

# kube-proxy counts as ready before it has chosen its mode: it has no readiness probe. So the mode is asked again.
# Where nothing answers at all (the API server cannot reach it, the log is rotated), shorter.
_MODE_SECONDS, _SILENT_SECONDS = 30.0, 6.0


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Carries out plans on one cluster.

    Attributes:
        reach: The way to a node, to read its mode there; None: through the API server.
        back: The command that goes back to a saved configuration (None: the newest) after a plan.
    """

    tools: Tools
    reach: Connector | None
    back: Callable[[ChangePlan, Path | None], str]

    def apply(self, plan: ChangePlan, *, back: bool = False) -> tuple[NodeMode, ...]:
        """Do it; the mode of each node afterwards.

        Args:
            back: True for a rollback, which does not become the next rollback's target.

        Raises:
            ConflictError: Somebody changed the configuration since the plan.
            ForbiddenError: A right is missing; nothing was changed.
            KubernetesError, AwsError: It did not get healthy; the message has the saved configuration and the way back.
        """
        self._rights(plan)
        path = self._save(plan, aside=back) if plan.changes else None
        if path:
            self.tools.say(f"saved the previous configuration: {path}")
        try:
            self._write(plan, path)
            return self._roll(plan)
        except AmigenError as error:
            error.hint = "\n  ".join(part for part in (error.hint, *self._way_back(plan, path)) if part)
            raise
        except KeyboardInterrupt:
            for line in ("interrupted; the cluster stays as it is now", *self._way_back(plan, path)):
                self.tools.say(line)
            raise

    def _way_back(self, plan: ChangePlan, path: Path | None) -> tuple[str, ...]:
        if path is not None and not path.exists():
            return ()  # nothing was changed
        saved = (f"saved configuration: {path}",) if path else ()
        return (*saved, f"way back: {self.back(plan, path)}")

    def _rights(self, plan: ChangePlan) -> None:
        wanted: list[tuple[str, Kind, str]] = [("list", PODS, ""), ("list", NODES, "")]
        wanted += plan.way.rights if plan.changes else []
        wanted += [("get", DAEMON_SETS, daemonset.NAME), ("patch", DAEMON_SETS, daemonset.NAME)]
        if plan.on_delete:
            wanted.append(("delete", PODS, ""))
        missing = [(verb, kind) for verb, kind, name in wanted if not self.tools.cluster.may(verb, kind, name)]
        if missing:
            names = ", ".join(f"verb {verb!r} on resource {kind.plural}" for verb, kind in missing)
            verb, kind = missing[0]
            raise ForbiddenError(
                f"not allowed in this cluster, so nothing was changed: {names}",
                f"ask for a role with these verbs; check with `kubectl -n kube-system auth can-i {verb} {kind.plural}`",
            )

    def _write(self, plan: ChangePlan, path: Path | None) -> None:
        """The configuration; where pods are replaced by amigen, the DaemonSet is held first."""
        rollout = Rollout(tools=self.tools, daemon_set=plan.observed.daemon_set)
        if plan.on_delete:
            rollout.hold()
        if not plan.changes and not plan.follow:
            return

        def refused() -> None:
            if path is not None:
                path.unlink()
            if plan.on_delete:
                rollout.release()

        plan.way.write(self.tools, plan, refused)

    def _save(self, plan: ChangePlan, *, aside: bool) -> Path:
        """Keep what is configured now."""
        name, key = plan.way.place
        return save(
            Saved(
                format="amigen kube-proxy 1",
                cluster=self.tools.cluster.name,
                server=self.tools.cluster.server,
                way=plan.way.name,
                name=name,
                key=key,
                before=plan.before,
                after=plan.after,
                at=self.tools.cluster.now(),
            ),
            aside=aside,
        )

    def _roll(self, plan: ChangePlan) -> tuple[NodeMode, ...]:
        daemon_set = self.tools.cluster.get(DAEMON_SETS, daemonset.NAME)
        config_map = self.tools.cluster.get(CONFIG_MAPS, plan.observed.source.name)
        digest = daemonset.digest(embedded(config_map, plan.observed.source).text)
        stamp, begun_for = daemonset.restarted_for(daemon_set)
        # Resume a restart that an unfinished run began for this very configuration.
        resume = not plan.changes and bool(stamp) and begun_for == digest
        stamp = stamp if resume else self._new_stamp(stamp)
        rollout = Rollout(tools=self.tools, daemon_set=daemon_set, stamp=stamp, digest=digest)
        if not resume:
            rollout.restart()
            self.tools.say("restarted DaemonSet kube-proxy")
        modes: list[NodeMode] = []
        for pool in plan.pools:
            modes.extend(self._pool(plan, rollout, pool))
        left = {pod.node for pod in rollout.pods() if pod.stamp != rollout.stamp and not pod.ending}
        if not left:
            rollout.release()
        elif plan.on_delete:
            self.tools.say(
                f"{len(left)} nodes of other pools still run the old kube-proxy; `apply` again continues with them"
            )
        return tuple(modes)

    def _new_stamp(self, old: str) -> str:
        """The server's time; in a later second than the last restart."""
        cluster = self.tools.cluster

        def later() -> bool:
            cluster.version()  # each answer has the time
            return cluster.now() != old

        wait_until(later, seconds=math.inf, every=0.3)
        return cluster.now()

    def _pool(self, plan: ChangePlan, rollout: Rollout, pool: Pool) -> tuple[NodeMode, ...]:
        self.tools.say(f"{f'pool {pool.name}' if plan.request.by_pool else pool.name}: {len(pool.nodes)} nodes")
        if plan.on_delete and pool.nodes:
            # One node first: a mode that cannot work stops there.
            for part in (pool.nodes[:1], pool.nodes[1:]):
                rollout.delete_old(part)
                rollout.follow(part)
                self._healthy(plan, rollout, part)
            return self._modes(plan, rollout, pool.nodes)
        rollout.follow(pool.nodes)
        return self._healthy(plan, rollout, pool.nodes)

    def _modes(self, plan: ChangePlan, rollout: Rollout, nodes: tuple[str, ...]) -> tuple[NodeMode, ...]:
        pods = [pod for pod in rollout.pods() if pod.node in nodes]
        return read_modes(self.tools.cluster, plan.observed, pods, self.reach)

    def _healthy(self, plan: ChangePlan, rollout: Rollout, nodes: tuple[str, ...]) -> tuple[NodeMode, ...]:
        """Each node that was Ready still is, and kube-proxy runs in the wanted mode wherever that can be read."""
        if not nodes:
            return ()
        wanted = plan.settings.mode
        modes: tuple[NodeMode, ...] = ()

        def right() -> bool:
            nonlocal modes
            modes = self._modes(plan, rollout, nodes)
            return all(one.mode == wanted for one in modes)

        def other() -> list[NodeMode]:
            return [one for one in modes if one.mode not in ("", wanted)]

        wait_until(lambda: right() or bool(other()), seconds=_SILENT_SECONDS, every=2.0)
        if other() and not wait_until(right, seconds=_MODE_SECONDS, every=2.0) and other():
            lines = [f"kube-proxy does not run in {wanted} mode on {len(other())} of {len(nodes)} nodes"]
            lines += [f"  {one.node}: {one.mode} (by {one.by})" for one in other()]
            raise KubernetesError("\n".join(lines), "its log says why: it exits rather than fall back to another mode")
        if restarting := restarting_nodes(rollout.pods, [one.node for one in modes if one.by == "log"]):
            lines = [f"kube-proxy does not stay up on {len(restarting)} of {len(nodes)} nodes"]
            lines += [f"  {node}: {why}" for node, why in restarting.items()]
            words = f"kubectl -n kube-system logs --previous -l {rollout.labels} --tail 20 --prefix"
            raise KubernetesError("\n".join(lines), f"its last log lines: {words}")
        was = {node.name for node in plan.observed.nodes if node.ready}
        lost = [
            node.name
            for node in daemonset.nodes(self.tools.cluster.list(NODES))
            if node.name in nodes and node.name in was and not node.ready
        ]
        if lost:
            raise KubernetesError(f"nodes are no longer Ready: {', '.join(lost)}", "`kubectl describe node` says why")
        return modes
