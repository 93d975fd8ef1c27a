"""The plan of a change: now, then, why it hurts, who is not ready, the calls and the diff. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amigen.base.errors import InputError
from amigen.kubeproxy import addon_values as eks
from amigen.kubeproxy import daemonset, detect, versions
from amigen.kubeproxy.change import ChangePlan, ChangeRequest, Pool
from amigen.kubeproxy.config import with_changes
from amigen.kubeproxy.detect import WayName
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import readiness
from amigen.kubeproxy.refused import refusals
from amigen.kubeproxy.settings import FIELDS, Settings, Value, check_together
from amigen.kubeproxy.warnings import warnings
from amigen.kubeproxy.ways import WAYS, Texts
from amigen.kubernetes.kinds import DAEMON_SETS, PODS

# What becomes of established connections, by the modes before and after. Seen with kube-proxy 1.37.2: tests/kubeproxy,
# test_real_moves.py (a node in a VM) and test_real_nftables.py.
_GO_ON = (
    "established connections to Services go on, since conntrack has what both modes made of them; new ones are refused"
    " for a second or two"
)
_BREAK = (
    "some established connections to Services break, and what the old mode left behind can misdirect others until it is"
    " cleaned up or the node is replaced"
)
_CONNECTIONS: Mapping[tuple[str, str], str] = {
    (
        "ipvs",
        "nftables",
    ): "established connections to Services end: IPVS has them in a table of its own, which goes with"
    " it; new ones are refused for some seconds",
    # Of two runs, all ended in one and none in the other.
    ("nftables", "ipvs"): "established connections to Services may end; new ones are refused for some seconds",
    ("iptables", "nftables"): _GO_ON,
    ("nftables", "iptables"): _GO_ON,
    ("ipvs", "iptables"): _BREAK,
    ("iptables", "ipvs"): _BREAK,
}


def disruption(now: str, then: str) -> tuple[str, ...]:
    """Why changing from one mode to another hurts; the same one twice is a change of its settings."""
    connections = _CONNECTIONS.get((now, then))
    return (
        "every kube-proxy restarts; while it does, changes of Services do not reach its node",
        *((connections,) if connections else ()),
        "do it at cluster creation, or on a drained pool; on a running cluster in off-hours",
    )


def make_plan(
    observed: Observed,
    settings: Settings,
    request: ChangeRequest,
    *,
    schema: Mapping[str, Any] | None = None,
    running: eks.Update | None = None,
) -> ChangePlan:
    """Decide everything.

    Args:
        schema: What the add-on publishes, where it goes through the add-on.
        running: The update of the add-on that is under way.

    Raises:
        ConflictError: Another update of the add-on is under way.
        RefusedError: The mode cannot work, the add-on would be fought, or its schema cannot express the settings.
        InputError: Settings that kube-proxy would refuse.
    """
    way = detect.choose(
        observed.managed,
        request.by,
        despite_addon=request.despite_addon,
        cluster=request.cluster_name or observed.cluster,
    )
    gates = dict(observed.config.get("featureGates") or {})
    gates |= {path.split(".")[1]: value for path, value in settings.fields.items() if path.startswith("featureGates.")}
    if refused := versions.why_not(settings.mode, observed.proxy_version, gates):
        raise refused
    if refused := versions.gates_refused(gates, observed.proxy_version):
        raise refused
    if refused := versions.keywords_refused(settings.fields.get("nodePortAddresses"), observed.proxy_version):
        raise refused
    effective: dict[str, Value] = {path: observed.config.get(path) for path in FIELDS} | dict(settings.fields)
    check_together(settings, effective)
    if way == "configmap":
        _startable(observed, settings)
    texts = WAYS[way].texts(observed, settings, request, schema)
    return arrange(observed, settings, request, way, texts, running)


def _startable(observed: Observed, settings: Settings) -> None:
    """A restart reads all of the ConfigMap, also what somebody edited since the last one.

    Raises:
        InputError: kube-proxy would not start with it.
    """
    after = with_changes(observed.config.values, settings.changes)
    if found := list(refusals(after, settings.mode, observed.proxy_version)):
        lines = "".join(f"\n    {line}" for line in found[:10])
        message = f"{observed.config.where}: kube-proxy would not start with this configuration:{lines}"
        raise InputError(message, "repair it with `kubectl edit`, or set the field with --set, then try again")


def arrange(
    observed: Observed,
    settings: Settings,
    request: ChangeRequest,
    way: WayName,
    texts: Texts,
    running: eks.Update | None,
) -> ChangePlan:
    """The plan of a change whose texts are decided already: pools, readiness, warnings, calls.

    Raises:
        ConflictError: Another update of the add-on is under way.
        InputError: A pool that is not there, or pools through the add-on.
    """
    pools = _pools(observed, request, way)
    progress = WAYS[way].progress(observed, settings, texts, running)
    changed = not progress.follow and (texts.before != texts.after or progress.repeat)
    stale = tuple(sorted({pod.node for pod in observed.pods_behind if any(pod.node in pool.nodes for pool in pools)}))
    scheduler = str(settings.fields.get("ipvs.scheduler") or observed.config.scheduler)
    return ChangePlan(
        observed=observed,
        settings=settings,
        way=way,
        resolve=request.resolve,
        before=texts.before,
        after=texts.after,
        diff=texts.diff,
        facts=versions.states(observed.proxy_version),
        warnings=warnings(observed, settings, request, way, progress.drift),
        readiness=tuple(
            readiness(
                node,
                settings.mode,
                scheduler,
                gathered=observed.gathered.get(node.name),
                verified=request.verified.get(node.name),
            )
            for node in observed.nodes
            if any(node.name in pool.nodes for pool in pools)
        ),
        calls=_calls(observed, request, way, texts.after, changed=changed, follow=progress.follow, stale=stale),
        by_pool=request.by_pool,
        pools=pools,
        stale=stale,
        eks_cluster=request.cluster_name,
        repeat=progress.repeat,
        drift=progress.drift,
        follow=progress.follow,
    )


def _pools(observed: Observed, request: ChangeRequest, way: WayName) -> tuple[Pool, ...]:
    running = {pod.node for pod in observed.pods}
    nodes = [node for node in observed.nodes if node.name in running]
    if not request.by_pool:
        return (Pool(name="all nodes", nodes=tuple(node.name for node in nodes)),)
    if not WAYS[way].by_pool:
        raise InputError(
            "--by-pool does not go with the add-on: EKS decides how kube-proxy restarts",
            "leave --by-pool out; or build a new node pool beside the old one and move the workload",
        )
    names = sorted({node.pool for node in nodes})
    if unknown := sorted(set(request.pools) - set(names)):
        raise InputError(f"no node pool {', '.join(unknown)}", f"there are: {', '.join(names)} (see --pool-label)")
    return tuple(
        Pool(name=name, nodes=tuple(node.name for node in nodes if node.pool == name))
        for name in request.pools or names
    )


def _calls(
    observed: Observed,
    request: ChangeRequest,
    way: WayName,
    after: str,
    *,
    changed: bool,
    follow: str,
    stale: tuple[str, ...],
) -> tuple[str, ...]:
    if not (changed or follow or stale or observed.held):
        return ()
    calls = []
    path = DAEMON_SETS.path(daemonset.NAME)
    on_delete = request.by_pool or daemonset.strategy(observed.daemon_set) == "OnDelete"
    if on_delete:
        calls.append(f"PATCH {path}: updateStrategy OnDelete, so that pods are replaced pool by pool")
    if follow:
        calls.append(f"eks:DescribeUpdate: follow the update {follow}, which is under way with these values")
    elif changed:
        calls.append(WAYS[way].call(observed, request, after))
    calls.append(
        f"PATCH {path}: annotation {daemonset.RESTARTED} of the pod template (a rollout restart), unless an unfinished"
        " one is resumed"
    )
    if on_delete:
        calls.append(f"DELETE {PODS.path('POD')}: each old pod of a pool, one first, then the rest of the pool")
        calls.append(f"PATCH {path}: updateStrategy as it was, after the last pool")
    calls.append("GET /proxyMode of each kube-proxy")
    return tuple(calls)
