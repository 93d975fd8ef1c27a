"""Which endpoints of a Service port a node uses.

Source: `CategorizeEndpoints` and `topologyModeFromHints` in pkg/proxy/topology.go of Kubernetes 1.34 and 1.37.
"""

from __future__ import annotations

from dataclasses import dataclass

from amigen.services.model import Endpoint, ServicePort, Target


@dataclass(frozen=True, kw_only=True)
class Where:
    """The node that is asked about.

    Attributes:
        node: Name of the Node; None: not known, as for a saved listing.
        zone: Its label `topology.kubernetes.io/zone`; empty: it has none.
        node_hints: kube-proxy reads `hints.forNodes`.
    """

    node: str | None = None
    zone: str = ""
    node_hints: bool = True


@dataclass(frozen=True, kw_only=True)
class Usable:
    """Endpoints in use.

    Attributes:
        cluster: For the traffic policy Cluster; empty where the port never uses it.
        local: For the traffic policy Local; empty where the port never uses it.
        anywhere: Whether any endpoint of the cluster can take connections.
    """

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    anywhere: bool = False


def usable(port: ServicePort, where: Where) -> Usable:
    """The endpoints that a known node uses."""
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    anywhere = False
    if not port.internal_local or port.accessible:
        ready = [one for one in port.endpoints if one.ready]
        cluster = tuple(_hinted_here(ready, where)) or tuple(one for one in port.endpoints if _is_draining(one))
        anywhere = bool(cluster)
    if port.internal_local or (port.external_local and port.accessible):
        here = [one for one in port.endpoints if where.node and one.node == where.node]
        local = tuple(one for one in here if one.ready) or tuple(one for one in here if _is_draining(one))
        anywhere = anywhere or any(one.ready or _is_draining(one) for one in port.endpoints)
    return Usable(cluster=cluster, local=local, anywhere=anywhere)


def _is_draining(one: Endpoint) -> bool:
    return one.serving and one.terminating


def _hinted_here(ready: list[Endpoint], where: Where) -> list[Endpoint]:
    """Hints count only where all ready endpoints have them, and one is meant for this node or its zone."""
    if where.node_hints and all(one.nodes for one in ready):
        here = [one for one in ready if where.node in one.nodes]
        if here:
            return here
    if all(one.zones for one in ready):
        return [one for one in ready if where.zone in one.zones] or ready
    return ready


def choose(port: ServicePort, where: Where, *, local: bool) -> tuple[frozenset[Target], frozenset[Target]]:
    """What ipvs mode sends to under a traffic policy (`syncEndpoint` in pkg/proxy/ipvs/proxier.go).

    Args:
        local: The traffic policy is Local: without a local endpoint ipvs mode falls back to those of the cluster.

    Returns:
        The real servers that must be there, and those that may be there as well: on a node that is not known, all that
        any node could use may be, and what every node uses must be.
    """
    if where.node is not None:
        found = usable(port, where)
        ends = (found.local or found.cluster) if local else found.cluster
        return frozenset(one.target for one in ends), frozenset()
    ready = [one for one in port.endpoints if one.ready]
    draining = [one for one in port.endpoints if _is_draining(one)]
    targets = frozenset(one.target for one in ready or draining)
    if local:
        return frozenset(), targets.union(one.target for one in draining)
    hinted = bool(ready) and (all(one.zones for one in ready) or all(one.nodes for one in ready))
    return (frozenset(), targets) if hinted else (targets, frozenset())
