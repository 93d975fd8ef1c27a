"""The plan of a change: now, then, why it hurts, who is not ready, the calls and the diff. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from amigen.errors import InputError
from amigen.knowledge import ModeFact, mode_fact
from amigen.kubeproxy import addon_values as eks
from amigen.kubeproxy import daemonset, detect, versions
from amigen.kubeproxy.addon_values import Resolve
from amigen.kubeproxy.cluster import CONFIG_MAPS, DAEMON_SETS, PODS
from amigen.kubeproxy.detect import Way
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import Readiness, readiness
from amigen.kubeproxy.settings import FIELDS, Settings, Value, check_together


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user asked for, besides the settings.

    Attributes:
        by_pool: Go node pool by node pool; `pools` names them in order, empty: all, by name.
        verified: Of each verified node the outcome by check id, out of a report of `amigen verify`.
    """

    by: Literal["auto", "addon", "configmap"] = "auto"
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
        before, after: The text of the ConfigMap's key, or the add-on's configurationValues.
        pools: In the order in which they are restarted; one pool of all nodes where it does not go by pool.
        repeat: True where the add-on's last update failed, so that the same values are sent again.
        stale: Nodes whose kube-proxy is older than the configuration, or not up since.
    """

    observed: Observed = field(repr=False)
    settings: Settings
    way: Way
    resolve: Resolve
    before: str = field(repr=False)
    after: str = field(repr=False)
    diff: str = field(repr=False)
    facts: tuple[ModeFact, ...]
    warnings: tuple[str, ...]
    readiness: tuple[Readiness, ...]
    calls: tuple[str, ...]
    by_pool: bool
    pools: tuple[Pool, ...]
    stale: tuple[str, ...]
    eks_cluster: str = ""
    repeat: bool = False

    @property
    def changes(self) -> bool:
        """Whether the configuration itself will be written."""
        return self.before != self.after or self.repeat

    @property
    def on_delete(self) -> bool:
        """Whether amigen replaces the pods itself, in place of the DaemonSet's rolling update."""
        return self.by_pool or daemonset.strategy(self.observed.daemon_set) == "OnDelete"

    @property
    def nothing_to_do(self) -> bool:
        """Configured so, every pod has read it, and no earlier run is left unfinished."""
        return not self.changes and not self.stale and not self.observed.held


DISRUPTION = (
    "every kube-proxy restarts; while it does, changes of Services do not reach its node",
    "established connections live in conntrack and mostly go on, but the new mode answers for none of them: some break,"
    " and what the old mode left behind can misdirect others until it is cleaned up or the node is replaced",
    "do it at cluster creation, or on a drained pool; on a running cluster in off-hours",
)


def make_plan(
    observed: Observed, settings: Settings, wish: Wish, *, schema: Mapping[str, Any] | None = None
) -> ChangePlan:
    """Decide everything.

    Args:
        observed: What is.
        settings: What is wanted.
        wish: How.
        schema: What the add-on publishes, where it goes through the add-on.

    Raises:
        RefusedError: The mode cannot work, the add-on would be fought, or its schema cannot express the settings.
        InputError: Settings that kube-proxy would refuse.
    """
    way = detect.choose(
        observed.managed, wish.by, despite_addon=wish.despite_addon, cluster=wish.cluster_name or observed.cluster
    )
    gates = dict(observed.config.get("featureGates") or {})
    gates |= {path.split(".")[1]: value for path, value in settings.fields.items() if path.startswith("featureGates.")}
    if refused := versions.why_not(settings.mode, observed.proxy_version, gates):
        raise refused
    effective: dict[str, Value] = {path: observed.config.get(path) for path in FIELDS} | dict(settings.fields)
    check_together(settings, effective)
    before, after, diff = _texts(observed, settings, wish, way, schema)
    return arrange(observed, settings, wish, way, before, after, diff)


def arrange(
    observed: Observed, settings: Settings, wish: Wish, way: Way, before: str, after: str, diff: str
) -> ChangePlan:
    """The plan of a change whose text is decided already: pools, readiness, warnings and calls.

    Raises:
        InputError: A pool that is not there, or pools through the add-on.
    """
    pools = _pools(observed, wish, way)
    state = observed.managed.addon
    repeat = way == "addon" and state is not None and state.status == "UPDATE_FAILED"
    stale = tuple(sorted({pod.node for pod in observed.pods_behind if any(pod.node in pool.nodes for pool in pools)}))
    scheduler = str(settings.fields.get("ipvs.scheduler") or observed.config.scheduler)
    return ChangePlan(
        observed=observed,
        settings=settings,
        way=way,
        resolve=wish.resolve,
        before=before,
        after=after,
        diff=diff,
        facts=versions.states(observed.proxy_version),
        warnings=_warnings(observed, settings, wish, way),
        readiness=tuple(
            readiness(
                node,
                settings.mode,
                scheduler,
                snapshot=observed.snapshots.get(node.name),
                verified=wish.verified.get(node.name),
            )
            for node in observed.nodes
            if any(node.name in pool.nodes for pool in pools)
        ),
        calls=_calls(observed, wish, way, after, changed=before != after or repeat, stale=stale),
        by_pool=wish.by_pool,
        pools=pools,
        stale=stale,
        eks_cluster=wish.cluster_name,
        repeat=repeat,
    )


def _texts(
    observed: Observed, settings: Settings, wish: Wish, way: Way, schema: Mapping[str, Any] | None
) -> tuple[str, str, str]:
    if way == "configmap":
        after = observed.config.edited(settings.changes)
        return observed.config.text, after.text, observed.config.diff(after)
    state = detect.known_addon(observed.managed)
    assert schema is not None, "the caller fetches the schema of the add-on that it found"
    values = eks.merged(state.values, settings)
    fields = "".join(f" --set {path}={_plain(value)}" for path, value in settings.fields.items())
    other = detect.leave_addon(wish.cluster_name) + f": `amigen kube-proxy apply --by configmap --mode {settings.mode}"
    eks.validate(values, schema, state.version, f"{other}{fields}`")
    if eks.read_values(state.values) == eks.read_values(values):
        return state.values, state.values, ""
    before, after_text = (
        json.dumps(eks.read_values(text), indent=2, sort_keys=True) + "\n" for text in (state.values, values)
    )
    where = f"add-on {eks.ADDON} {state.version}, configurationValues"
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after_text.splitlines(keepends=True), f"{where} (now)", f"{where} (then)"
    )
    return state.values, values, "".join(lines)


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def _pools(observed: Observed, wish: Wish, way: Way) -> tuple[Pool, ...]:
    running = {pod.node for pod in observed.pods}
    nodes = [node for node in observed.nodes if node.name in running]
    if not wish.by_pool:
        return (Pool(name="all nodes", nodes=tuple(node.name for node in nodes)),)
    if way == "addon":
        raise InputError(
            "--by-pool does not go with the add-on: EKS restarts kube-proxy as it likes",
            "leave --by-pool out; or build a new node pool beside the old one and move the workload",
        )
    names = sorted({node.pool for node in nodes})
    if unknown := sorted(set(wish.pools) - set(names)):
        raise InputError(f"no node pool {', '.join(unknown)}", f"there are: {', '.join(names)} (see --pool-label)")
    return tuple(
        Pool(name=name, nodes=tuple(node.name for node in nodes if node.pool == name)) for name in wish.pools or names
    )


def _warnings(observed: Observed, settings: Settings, wish: Wish, way: Way) -> tuple[str, ...]:
    found = []
    fact = mode_fact(settings.mode, observed.proxy_version)
    if fact.state == "deprecated":
        found.append(f"{settings.mode} is {fact.says} [{fact.source}]; `amigen kube-proxy migrate` plans the way out")
    if settings.mode == "ipvs" and settings.fields.get("ipvs.scheduler", "rr") != "rr":
        found.append(
            "each node balances only its own connections, so a scheduler other than rr evens out less than it does on a"
            " load balancer [KEP-5495]"
        )
    if {observed.config.mode, settings.mode} == {"ipvs", "iptables"}:
        found.append(
            "kube-proxy does not clean up between ipvs and iptables: run `kube-proxy --cleanup` on each node or replace"
            " it [https://github.com/kubernetes/kubernetes/issues/102314]"
        )
    if way == "addon":
        found.append(f"--resolve-conflicts {wish.resolve}: {eks.RESOLVE_MEANS[wish.resolve]}")
        state = observed.managed.addon
        found.extend(f"the add-on reports {issue}" for issue in (state.issues if state else ()))
    elif observed.managed.way == "addon":
        found.append("the add-on manages kube-proxy and will overwrite this at its next update (--despite-addon)")
    if wish.by_pool:
        found.append("the ConfigMap is one for all pools: a pod that starts meanwhile, anywhere, has the new mode")
    found.extend(f"node {node.name} is not Ready" for node in observed.nodes if not node.ready)
    return tuple(found)


def _calls(
    observed: Observed, wish: Wish, way: Way, after: str, *, changed: bool, stale: tuple[str, ...]
) -> tuple[str, ...]:
    if not changed and not stale and not observed.held:
        return ()
    calls = []
    path = DAEMON_SETS.path(daemonset.NAME)
    on_delete = wish.by_pool or daemonset.strategy(observed.daemon_set) == "OnDelete"
    if on_delete:
        calls.append(f"PATCH {path}: updateStrategy OnDelete, so that pods are replaced pool by pool")
    if changed and way == "addon":
        calls.append(eks.call_text(wish.cluster_name, after, wish.resolve))
    elif changed:
        version = observed.config_map["metadata"]["resourceVersion"]
        calls.append(
            f"PUT {CONFIG_MAPS.path(observed.source.name)}: key {observed.source.key}, resourceVersion {version}"
        )
    calls.append(
        f"PATCH {path}: annotation {daemonset.RESTARTED} of the pod template (a rollout restart), unless an unfinished"
        " one is gone on with"
    )
    if on_delete:
        calls.append(f"DELETE {PODS.path('POD')}: each old pod of a pool, one first, then the rest of the pool")
        calls.append(f"PATCH {path}: updateStrategy as it was, after the last pool")
    calls.append("GET /proxyMode of each kube-proxy")
    return tuple(calls)
