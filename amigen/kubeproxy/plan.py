"""The plan of a change: now, then, why it hurts, who is not ready, the calls and the diff. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amigen.base.errors import InputError
from amigen.knowledge import ModeFact
from amigen.kubeproxy import addon_values as eks
from amigen.kubeproxy import daemonset, detect, versions
from amigen.kubeproxy.addon_values import Resolve
from amigen.kubeproxy.detect import Way
from amigen.kubeproxy.drift import contradictions
from amigen.kubeproxy.kinds import CONFIG_MAPS, DAEMON_SETS, PODS
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.readiness import Readiness, readiness
from amigen.kubeproxy.request import ChangeRequest
from amigen.kubeproxy.settings import FIELDS, Settings, Value, check_together
from amigen.kubeproxy.warnings import warnings


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
        repeat: True where the same values are sent again: the last update failed, or the ConfigMap does not have it.
        drift: In which way the ConfigMap contradicts what the add-on is set to already.
        follow: Id of an update that is under way with these very values: it is followed, and none is sent.
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
    drift: tuple[str, ...] = ()
    follow: str = ""

    @property
    def changes(self) -> bool:
        """Whether the configuration itself will be written."""
        return not self.follow and (self.before != self.after or self.repeat)

    @property
    def on_delete(self) -> bool:
        """Whether amigen replaces the pods itself, in place of the DaemonSet's rolling update."""
        return self.by_pool or daemonset.strategy(self.observed.daemon_set) == "OnDelete"

    @property
    def nothing_to_do(self) -> bool:
        """Configured so, every pod has read it, and no earlier run is left unfinished."""
        return not (self.changes or self.follow or self.stale or self.observed.held)


DISRUPTION = (
    "every kube-proxy restarts; while it does, changes of Services do not reach its node",
    "established connections live in conntrack and mostly go on, but the new mode answers for none of them: some break,"
    " and what the old mode left behind can misdirect others until it is cleaned up or the node is replaced",
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
        observed: What is.
        settings: What is wanted.
        request: How.
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
    before, after, diff = _texts(observed, settings, request, way, schema)
    return arrange(observed, settings, request, way, (before, after, diff), running)


def arrange(
    observed: Observed,
    settings: Settings,
    request: ChangeRequest,
    way: Way,
    texts: tuple[str, str, str],
    running: eks.Update | None,
) -> ChangePlan:
    """The plan of a change whose texts (before, after, diff) are decided already: pools, readiness, warnings, calls.

    Raises:
        ConflictError: Another update of the add-on is under way.
        InputError: A pool that is not there, or pools through the add-on.
    """
    pools = _pools(observed, request, way)
    before, after, diff = texts
    state = observed.managed.addon if way == "addon" else None
    follow = eks.followed(running, state.values, after) if state else ""
    drift = contradictions(observed.config, settings.changes) if state and not follow and before == after else ()
    repeat = state is not None and not follow and (state.status == "UPDATE_FAILED" or bool(drift))
    changed = not follow and (before != after or repeat)
    stale = tuple(sorted({pod.node for pod in observed.pods_behind if any(pod.node in pool.nodes for pool in pools)}))
    scheduler = str(settings.fields.get("ipvs.scheduler") or observed.config.scheduler)
    return ChangePlan(
        observed=observed,
        settings=settings,
        way=way,
        resolve=request.resolve,
        before=before,
        after=after,
        diff=diff,
        facts=versions.states(observed.proxy_version),
        warnings=warnings(observed, settings, request, way, drift),
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
        calls=_calls(observed, request, way, after, changed=changed, follow=follow, stale=stale),
        by_pool=request.by_pool,
        pools=pools,
        stale=stale,
        eks_cluster=request.cluster_name,
        repeat=repeat,
        drift=drift,
        follow=follow,
    )


def _texts(
    observed: Observed, settings: Settings, request: ChangeRequest, way: Way, schema: Mapping[str, Any] | None
) -> tuple[str, str, str]:
    if way == "configmap":
        after = observed.config.edited(settings.changes)
        return observed.config.text, after.text, observed.config.diff(after)
    state = detect.known_addon(observed.managed)
    assert schema is not None, "the caller fetches the schema of the add-on that it found"
    values = eks.merged(state.values, settings)
    fields = "".join(f" --set {path}={_plain(value)}" for path, value in settings.fields.items())
    other = (
        detect.leave_addon(request.cluster_name) + f": `amigen kube-proxy apply --by configmap --mode {settings.mode}"
    )
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


def _pools(observed: Observed, request: ChangeRequest, way: Way) -> tuple[Pool, ...]:
    running = {pod.node for pod in observed.pods}
    nodes = [node for node in observed.nodes if node.name in running]
    if not request.by_pool:
        return (Pool(name="all nodes", nodes=tuple(node.name for node in nodes)),)
    if way == "addon":
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
    way: Way,
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
    elif changed and way == "addon":
        calls.append(eks.call_text(request.cluster_name, after, request.resolve))
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
