"""The virtual services that kube-proxy programs in ipvs mode, and how they are found in a listing.

Source: `syncProxyRules` in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37. Every address of a Service port gets a virtual
service, also without any endpoint: the ClusterIP by the internal traffic policy, external and load balancer addresses
and node ports by the external one. Every real server has weight 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from amigen.ipvs.model import Address, Key, Table, VirtualService
from amigen.services.model import Network, Reach, ServicePort, ServicePorts, Target, address_order
from amigen.services.topology import Where, choose

API_SERVICE = "default/kubernetes"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedService:
    """One virtual service.

    Attributes:
        port: The Service port that it belongs to.
        required: Its real servers.
        allowed: What may be there as well.
        endpoints: All endpoints of the port, also those that this node does not use.
    """

    port: ServicePort
    reach: Reach
    key: Key
    required: frozenset[Target]
    allowed: frozenset[Target]
    endpoints: frozenset[Target]

    @property
    def subject(self) -> str:
        """What messages call it, `namespace/name:port`."""
        number = f" node port {self.key[2]}" if self.reach == "node port" else ""
        return f"{self.port.label}{number}"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a node's IPVS table and its `kube-ipvs0` should hold.

    Attributes:
        node_ports: Those of a node whose addresses are not known, at the ClusterIP in place of an address.
        addresses: What must be bound to `kube-ipvs0`; `may` what may be, too.
        api: Keys of the API service; `dns` of the cluster's DNS service; empty where the cluster has none.
        ports, where: What it was made of.
        shared: Addresses that two Services claim: kube-proxy programs one of them, whichever it meets last.
    """

    services: tuple[ExpectedService, ...]
    node_ports: tuple[ExpectedService, ...]
    addresses: frozenset[Address]
    may: frozenset[Address]
    api: tuple[Key, ...]
    dns: tuple[Key, ...]
    ports: ServicePorts
    where: Where
    shared: dict[Key, tuple[str, ...]]


def expected(
    ports: ServicePorts, where: Where, own: frozenset[Address] | None = None, node_ports: Sequence[Network] = ()
) -> Expected:
    """What should be on a node.

    Args:
        own: Its addresses without those of `kube-ipvs0`; None: not known.
        node_ports: CIDRs of `nodePortAddresses`, keywords replaced; empty: all.
    """
    found: dict[Key, ExpectedService] = {}
    claims: dict[Key, list[str]] = {}
    anywhere: list[ExpectedService] = []
    serving = [one for one in sorted(own or (), key=address_order) if _serves(one, node_ports)]
    # Those that the kernel has switched on; kube-proxy programs no other.
    families = {4, 6} if own is None else {one.version for one in own}
    for port in ports.ports:
        if port.cluster_ip.version not in families:
            continue
        inside = choose(port, where, local=port.internal_local)
        outside = choose(port, where, local=port.external_local)
        everything = frozenset(one.target for one in port.endpoints)
        mine: dict[Key, ExpectedService] = {}
        for address, reach, number in _addresses(port, serving if own is not None else [port.cluster_ip]):
            key = (port.protocol, address, number)
            required, allowed = inside if reach == "ClusterIP" else outside
            one = ExpectedService(
                port=port, reach=reach, key=key, required=required, allowed=allowed, endpoints=everything
            )
            if reach == "node port" and own is None:
                anywhere.append(one)
            else:
                mine[key] = one
        for key in mine:
            claims.setdefault(key, []).append(port.owner)
        found |= mine
    services = tuple(found.values())
    inside_ips = frozenset(one.key[1] for one in services if one.reach == "ClusterIP")
    outside_ips = frozenset(one.key[1] for one in services if one.reach not in ("ClusterIP", "node port"))
    # An address that another interface has is not bound to kube-ipvs0.
    bound = frozenset() if own is None else outside_ips - own
    return Expected(
        services=services,
        node_ports=tuple(anywhere),
        addresses=inside_ips | bound,
        may=outside_ips if own is None else frozenset(),
        api=tuple(one.key for one in services if one.port.owner == API_SERVICE and one.reach == "ClusterIP"),
        dns=tuple(one.key for one in services if one.port.owner in ports.dns and one.reach == "ClusterIP"),
        ports=ports,
        where=where,
        shared={key: tuple(owners) for key, owners in claims.items() if len(set(owners)) > 1},
    )


def _serves(address: Address, node_ports: Sequence[Network]) -> bool:
    """Whether node ports are served there; never on loopback and IPv6 link-local addresses."""
    if address.is_loopback or (address.version == 6 and address.is_link_local):
        return False
    cidrs = [one for one in node_ports if one.version == address.version]
    return not cidrs or any(address in one for one in cidrs)


def _addresses(port: ServicePort, serving: Iterable[Address]) -> Iterator[tuple[Address, Reach, int]]:
    yield from ((address, reach, port.port) for address, reach in port.addresses)
    if port.node_port:
        for address in serving:
            if address.version == port.cluster_ip.version:
                yield address, "node port", port.node_port


class Finder:
    """The services of one table, also where a listing with resolved names hides address or port.

    `ipvsadm -L` prints names and cuts them at the width of its column. Such a name says the address (EC2's do), it is
    that of the Service (the node asks the cluster's DNS), or it says nothing. Everything is looked up in an index,
    since tables with 100,000 real servers exist.
    """

    def __init__(self, table: Table) -> None:
        # By protocol, address or Service or (of a name) None, and port or (hidden) None.
        self._index: defaultdict[tuple[object, object, int | None], list[VirtualService]] = defaultdict(list)
        for service in table.services:
            place = service.place
            for who in {place.address, place.address or _called(place.name)}:
                self._index[service.protocol, who, place.port].append(service)

    def at(self, key: Key) -> VirtualService | None:
        """The service at an address and port; where the port is hidden, address and protocol decide."""
        found = self._index.get(key)
        return found[-1] if found else self._only(key[0], key[1], None)

    def find(self, expectation: ExpectedService) -> VirtualService | None:
        """The service of an expectation: by its key, else by the Service's name in the cluster's DNS."""
        protocol, _, port = expectation.key
        return self.at(expectation.key) or self._only(protocol, expectation.port.owner, port, None)

    def may_hide(self, key: Key) -> bool:
        """Whether a name that says nothing may stand for it."""
        return any((key[0], None, port) in self._index for port in (None, key[2]))

    def _only(self, protocol: object, who: object, *ports: int | None) -> VirtualService | None:
        matches = [one for port in ports for one in self._index.get((protocol, who, port), ())]
        return matches[0] if len(matches) == 1 else None


def _called(name: str) -> str:
    """`kubernetes.default.svc.clust` is default/kubernetes; a name that was cut before its namespace says nothing."""
    words = name.split(".")
    return f"{words[1]}/{words[0]}" if len(words) >= 3 and words[2] == "svc" else ""
