"""kube-proxy's nftables table against what the cluster needs.

Source: `syncProxyRules` in pkg/proxy/nftables/proxier.go of Kubernetes 1.37. In nftables mode an address whose traffic
policy leaves no endpoint is dropped, and one of a Service without any endpoint is rejected; there is no fallback to the
endpoints of other nodes, except for connections from the node itself and its pods to external addresses.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from amigen.nftables.table import Key, NftTable
from amigen.services.difference import Findings
from amigen.services.model import Reach, ServicePort, ServicePorts, Target, in_order, place_text
from amigen.services.topology import Usable, Where, usable

_LAGS = "kube-proxy lags behind (does it run?), or something edited its table"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One address or node port.

    Attributes:
        port: The Service port.
        reach: Such as `ClusterIP`.
        targets: Endpoints for connections from elsewhere; None: the address has no chain.
        inside: Endpoints for connections from the node itself; None: as from elsewhere.
        refused: `reject`, `drop`, or empty.
        guarded: `loadBalancerSourceRanges` are enforced.
    """

    port: ServicePort
    reach: Reach
    targets: frozenset[Target] | None = None
    inside: frozenset[Target] | None = None
    refused: str = ""
    guarded: bool = False


def expected(ports: ServicePorts, where: Where, families: frozenset[int]) -> dict[Key, Wanted]:
    """What the table should have, by address or node port."""
    found: dict[Key, Wanted] = {}
    for port in ports.ports:
        family = port.cluster_ip.version
        if family not in families:
            continue
        use = usable(port, where)
        for address, reach in port.addresses:
            key = (address, port.protocol, port.port, family)
            # The same address as external and load balancer address: guarded by either.
            guarded = key in found and found[key].port is port and found[key].guarded
            guarded = guarded or (reach == "load balancer" and bool(port.source_ranges))
            found[key] = _wanted(port, reach, use, guarded=guarded)
        if port.node_port:
            found[None, port.protocol, port.node_port, family] = _wanted(port, "node port", use)
    return found


def _wanted(port: ServicePort, reach: Reach, use: Usable, *, guarded: bool = False) -> Wanted:
    within = reach == "ClusterIP"
    local = port.internal_local if within else port.external_local
    ends = use.local if local else use.cluster
    # Without an endpoint here, an external address still has a chain: for connections from the node itself.
    has_chain = bool(ends) if within else use.anywhere
    return Wanted(
        port=port,
        reach=reach,
        targets=frozenset(one.target for one in ends) if has_chain else None,
        inside=frozenset(one.target for one in use.cluster) if has_chain and local and not within else None,
        refused="" if ends else "drop" if use.anywhere else "reject",
        guarded=guarded,
    )


def compare(table: NftTable, ports: ServicePorts, where: Where) -> Findings:
    """All differences, and what is right.

    Args:
        where: The node; where it is not known, endpoints are judged only by whether they are some of the Service.
    """
    found = Findings(differences=list(ports.odd))
    families = frozenset(table.families)
    wanted = expected(ports, where, families)
    for key, one in wanted.items():
        _service(found, table, key, one, known=where.node is not None)
    for key in (table.services.keys() | table.refused.keys()) - wanted.keys():
        says = f"{_name(key)} is in the table and belongs to no Service of the cluster"
        found.differs("stale-service", _name(key), says, f"left over from a deleted Service: {_LAGS}")
    _cluster_ips(found, table, ports, families)
    number, servers = len(wanted), sum(len(one.targets or ()) for one in wanted.values())
    places = ", ".join(f"{many} {reach}" for reach, many in Counter(one.reach for one in wanted.values()).items())
    there = f"{number} of {number} Service addresses are in the nftables table ({places})"
    found.right(there, "missing-service", "refused")
    found.right(f"{servers} of {servers} endpoints are reached", "missing-server", "missing-service")
    found.right("nothing is stale", "stale-server", "stale-service", "stale-address")
    return found


def _service(found: Findings, table: NftTable, key: Key, one: Wanted, *, known: bool) -> None:
    name = f"{one.reach} {_name(key)} of {one.port.owner}"
    subject = f"{one.port.label} {_name(key)}"
    has_chain = key in table.services
    if not known:
        if not has_chain and key not in table.refused:
            found.differs("missing-service", subject, f"{name} is not in the table", _LAGS)
    elif one.targets is None and has_chain:
        found.differs("stale-server", subject, f"{name} is served, but no endpoint may take connections", _LAGS)
    elif one.targets is not None and not has_chain:
        found.differs("missing-service", subject, f"{name} is not in the map of service addresses", _LAGS)
    refused = table.refused.get(key, "")
    if known and refused != one.refused:
        says = f"{name} {_refusal(refused)}; by its endpoints kube-proxy {_refusal(one.refused)}"
        found.differs("refused", subject, says, _LAGS)
    if one.guarded != (key in table.guarded):
        which = "not enforced" if one.guarded else "enforced, but the Service has none"
        found.differs("refused", subject, f"{name}: loadBalancerSourceRanges are {which}", _LAGS)
    if has_chain and (one.targets is not None or not known):
        _servers(found, table, key, one, name, subject, known=known)


def _refusal(verdict: str) -> str:
    known = {"": "does not refuse connections", "reject": "rejects connections", "drop": "drops connections"}
    return known.get(verdict, f"sends connections to {verdict}")


def _servers(found: Findings, table: NftTable, key: Key, one: Wanted, name: str, subject: str, *, known: bool) -> None:
    reached = table.reached(key)
    everything = frozenset(end.target for end in one.port.endpoints)
    pairs = [("", reached.targets, one.targets or frozenset())]
    if reached.inside is not None or one.inside is not None:
        pairs.append((" for connections from the node", reached.inside or frozenset(), one.inside or frozenset()))
    for suffix, has, wanted in pairs:
        for target in sorted(wanted - has, key=in_order) if known else ():
            found.missing_server(subject, name, place_text(*target) + suffix)
        for target in sorted(has - (wanted if known else everything), key=in_order):
            end = place_text(*target) + suffix
            found.stale_server(subject, name, end, one.port.owner, known=target in everything)
    affinity = frozenset() if one.port.affinity is None else frozenset((one.port.affinity,))
    if (reached.targets or reached.inside) and reached.affinity != affinity:
        times = " and ".join(f"{each} s" for each in sorted(reached.affinity))
        found.wrong_affinity(subject, name, f"persistent for {times}" if times else "not persistent", one.port.affinity)


def _cluster_ips(found: Findings, table: NftTable, ports: ServicePorts, families: frozenset[int]) -> None:
    """Other ports of a ClusterIP are rejected, where its address is in this set."""
    wanted = {one.cluster_ip for one in ports.ports if one.cluster_ip.version in families}
    for address in wanted - table.cluster_ips:
        found.differs("missing-address", str(address), f"the set cluster-ips lacks {address}", _LAGS)
    for address in table.cluster_ips - wanted:
        found.differs("stale-address", str(address), f"the set cluster-ips has {address}, of no Service", _LAGS)


def _name(key: Key) -> str:
    address, protocol, port, family = key
    if address is None:
        return f"{protocol} {port} (IPv{family})"
    return f"{protocol} {place_text(address, port)}"
