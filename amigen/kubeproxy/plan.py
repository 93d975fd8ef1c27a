"""The plan of a change: now, then, why it hurts, who is not ready, the calls and the diff. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amigen.base.errors import ConflictError, InputError
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy import addon as eks
from amigen.kubeproxy import daemonset, detect, versions
from amigen.kubeproxy.change import ChangePlan, ChangeRequest, Pool
from amigen.kubeproxy.config import text_diff, with_changes
from amigen.kubeproxy.detect import ChooseBy, WayName
from amigen.kubeproxy.fields import FIELDS, Value, refusals
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import readiness
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings, check_together
from amigen.kubeproxy.warnings import warnings
from amigen.kubeproxy.ways import WAYS
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
_CONNECTIONS = {
    "ipvs nftables": "established connections to Services end: IPVS has them in a table of its own, which goes with it;"
    " new ones are refused for some seconds",
    # Of two runs, all ended in one and none in the other.
    "nftables ipvs": "established connections to Services may end; new ones are refused for some seconds",
    **dict.fromkeys(("iptables nftables", "nftables iptables"), _GO_ON),
    **dict.fromkeys(("ipvs iptables", "iptables ipvs"), _BREAK),
}


def disruption(now: str, then: str) -> tuple[str, ...]:
    """Why changing from one mode to another hurts; the same one twice is a change of its settings."""
    connections = _CONNECTIONS.get(f"{now} {then}")
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
    way = _way(observed, request, request.by)
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
    plan = ChangePlan(observed=observed, settings=settings, request=request, way=way)
    return _arranged(WAYS[way].edited(plan, schema), running)


def plan_rollback(
    observed: Observed,
    saved: Saved,
    request: ChangeRequest,
    *,
    discard: bool = False,
    running: eks.Update | None = None,
) -> ChangePlan:
    """Plan the way back to a saved configuration, without asking whether the old mode still works: it ran before.

    Raises:
        ConflictError: It was changed since, or another update of the add-on is under way.
        RefusedError: The other of the two manages kube-proxy now.
        InputError: The saved configuration belongs to another ConfigMap.
    """
    way = _way(observed, request, saved.way)
    found = WAYS[way].restored(observed, saved, running)
    diff = text_diff(found.current, saved.before, "configuration", "saved")
    if not found.known and not discard:
        raise ConflictError(
            "kube-proxy's configuration was changed after amigen's change; a rollback would lose that:\n" + diff,
            "merge it by hand, or use --discard-later-changes",
        )
    if found.mode not in PROXY_MODES:
        raise InputError(f"the saved configuration has mode {found.mode!r}, which amigen does not know")
    plan = ChangePlan(
        observed=observed,
        settings=Settings(mode=found.mode),
        request=request,
        way=way,
        before=found.current,
        after=found.current if found.same else saved.before,
        diff="" if found.same else diff,
    )
    return _arranged(plan, running)


def _way(observed: Observed, request: ChangeRequest, by: ChooseBy) -> WayName:
    cluster = request.cluster_name or observed.cluster
    return detect.choose(observed.managed, by, despite_addon=request.despite_addon, cluster=cluster)


def _startable(observed: Observed, settings: Settings) -> None:
    """Refuse what kube-proxy would not start with: a restart reads all of the ConfigMap, also what somebody edited."""
    after = with_changes(observed.config.values, settings.changes)
    if found := list(refusals(after, settings.mode, observed.proxy_version)):
        lines = "".join(f"\n    {line}" for line in found[:10])
        message = f"{observed.config.where}: kube-proxy would not start with this configuration:{lines}"
        raise InputError(message, "repair it with `kubectl edit`, or set the field with --set, then try again")


def _arranged(plan: ChangePlan, running: eks.Update | None) -> ChangePlan:
    """A plan with its texts, and with pools, readiness, warnings and calls."""
    observed, settings = plan.observed, plan.settings
    pools = _pools(plan)
    plan = WAYS[plan.way].resumed(plan, running)
    members = {node for pool in pools for node in pool.nodes}
    scheduler = str(settings.fields.get("ipvs.scheduler") or observed.config.scheduler)
    plan = replace(
        plan,
        pools=pools,
        stale=tuple(sorted({pod.node for pod in observed.pods_behind} & members)),
        readiness=tuple(
            readiness(
                node,
                settings.mode,
                scheduler,
                gathered=observed.gathered.get(node.name),
                verified=plan.request.verified.get(node.name),
            )
            for node in observed.nodes
            if node.name in members
        ),
    )
    return replace(plan, warnings=warnings(plan), calls=_calls(plan))


def _pools(plan: ChangePlan) -> tuple[Pool, ...]:
    running = {pod.node for pod in plan.observed.pods}
    nodes = [node for node in plan.observed.nodes if node.name in running]
    if not plan.request.by_pool:
        return (Pool(name="all nodes", nodes=tuple(node.name for node in nodes)),)
    if not WAYS[plan.way].by_pool:
        raise InputError(
            "--by-pool does not go with the add-on: EKS decides how kube-proxy restarts",
            "leave --by-pool out; or build a new node pool beside the old one and move the workload",
        )
    names = sorted({node.pool for node in nodes})
    if unknown := sorted(set(plan.request.pools) - set(names)):
        raise InputError(f"no node pool {', '.join(unknown)}", f"there are: {', '.join(names)} (see --pool-label)")
    return tuple(
        Pool(name=name, nodes=tuple(node.name for node in nodes if node.pool == name))
        for name in plan.request.pools or names
    )


def _calls(plan: ChangePlan) -> tuple[str, ...]:
    if plan.nothing_to_do:
        return ()
    calls = []
    path = DAEMON_SETS.path(daemonset.NAME)
    if plan.on_delete:
        calls.append(f"PATCH {path}: updateStrategy OnDelete, so that pods are replaced pool by pool")
    if plan.follow:
        calls.append(f"eks:DescribeUpdate: follow the update {plan.follow}, which is under way with these values")
    elif plan.changes:
        calls.append(WAYS[plan.way].call(plan))
    calls.append(
        f"PATCH {path}: annotation {daemonset.RESTARTED} of the pod template (a rollout restart), unless an unfinished"
        " one is resumed"
    )
    if plan.on_delete:
        calls.append(f"DELETE {PODS.path('POD')}: each old pod of a pool, one first, then the rest of the pool")
        calls.append(f"PATCH {path}: updateStrategy as it was, after the last pool")
    calls.append("GET /proxyMode of each kube-proxy")
    return tuple(calls)
