"""The plan of a change: now, then, why it hurts, who is not ready, the calls and the diff. Pure."""

from __future__ import annotations

from amigen.base.errors import ConflictError, InputError
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy import detect, versions
from amigen.kubeproxy.change import ChangePlan, ChangeRequest, Pool, Way
from amigen.kubeproxy.config import text_diff, with_changes
from amigen.kubeproxy.detect import ChooseBy
from amigen.kubeproxy.fields import refusals
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.saved import Saved
from amigen.kubeproxy.settings import Settings, refuse_foreign
from amigen.kubeproxy.ways import WAYS

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


def make_plan(observed: Observed, settings: Settings, request: ChangeRequest) -> ChangePlan:
    """Decide everything.

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
    refuse_foreign(settings)
    if way.name == "configmap":
        _startable(observed, settings)
    return _planned(observed, settings, request, way, way.edited(settings))


def plan_rollback(observed: Observed, saved: Saved, request: ChangeRequest, *, discard: bool = False) -> ChangePlan:
    """Plan the way back to a saved configuration, without asking whether the old mode still works: it ran before.

    Raises:
        ConflictError: It was changed since, or another update of the add-on is under way.
        RefusedError: The other of the two manages kube-proxy now.
        InputError: The saved configuration belongs to another ConfigMap.
    """
    way = _way(observed, request, saved.way)
    mode = way.restorable(saved)
    way.follow(saved.before)  # before it is compared: it is still changing
    known = map(way.shown, (saved.before, saved.after))
    if not discard and way.shown(way.current) not in known:
        raise ConflictError(
            "kube-proxy's configuration was changed after amigen's change; a rollback would lose that:\n"
            + text_diff(way.current, saved.before, "configuration", "saved"),
            "merge it by hand, or use --discard-later-changes",
        )
    if mode not in PROXY_MODES:
        raise InputError(f"the saved configuration has mode {mode!r}, which amigen does not know")
    return _planned(observed, Settings(mode=mode), request, way, saved.before)


def _way(observed: Observed, request: ChangeRequest, by: ChooseBy) -> Way:
    return WAYS[detect.choose(observed.managed, by, despite_addon=request.despite_addon)](observed)


def _planned(observed: Observed, settings: Settings, request: ChangeRequest, way: Way, after: str) -> ChangePlan:
    return ChangePlan(
        observed=observed,
        settings=settings,
        request=request,
        way=way,
        before=way.current,
        after=way.current if way.shown(way.current) == way.shown(after) else after,
        pools=_pools(observed, request, way),
        follow=way.follow(after),
    )


def _startable(observed: Observed, settings: Settings) -> None:
    """Refuse what kube-proxy would not start with: a restart reads all of the ConfigMap, also what somebody edited."""
    after = with_changes(observed.config.values, settings.changes)
    if found := list(refusals(after, settings.mode, observed.proxy_version)):
        lines = "".join(f"\n    {line}" for line in found[:10])
        message = f"{observed.config.where}: kube-proxy would not start with this configuration:{lines}"
        raise InputError(message, "repair it with `kubectl edit`, or set the field with --set, then try again")


def _pools(observed: Observed, request: ChangeRequest, way: Way) -> tuple[Pool, ...]:
    running = {pod.node for pod in observed.pods}
    nodes = [node for node in observed.nodes if node.name in running]
    if not request.by_pool:
        return (Pool(name="all nodes", nodes=tuple(node.name for node in nodes)),)
    if not way.by_pool:
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
