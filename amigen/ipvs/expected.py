"""The virtual services that kube-proxy programs in ipvs mode, and how they are found in a listing.

Source: `syncProxyRules` in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37. Every address of a Service port gets a virtual
service, also without any endpoint: the ClusterIP by the internal traffic policy, external and load balancer addresses
and node ports by the external one. Every real server has weight 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from amigen.ipvs.model import Address, Key, Place, Table, VirtualService
from amigen.services.model import Network, Reach, ServicePort, ServicePorts, Target, address_order
from amigen.services.topology import Choice, Where, choose

API_SERVICE = "default/kubernetes"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedService:
    """One virtual service.

    Attributes:
        port: The Service port that it belongs to.
        choice: Its real servers.
        endpoints: All endpoints of the port, also those that this node does not use.
    """

    port: ServicePort
    reach: Reach
    key: Key
    choice: Choice
    endpoints: frozenset[Target]

    @property
    def subject(self) -> str:
        """What messages call it, `namespace/name:port`."""
        number = f" node port {self.key[2]}" if self.reach == "node port" else ""
        return f"{self.port.label}{number}"


@dataclass(frozen=True, kw_only=True)
class NodeAddresses:
    """Where a node serves node ports, and which addresses it has without `kube-ipvs0`.

    Attributes:
        own: All of them; None: not known.
        node_ports: CIDRs of `nodePortAddresses`, keywords replaced; empty: all.
    """

    own: frozenset[Address] | None = None
    node_ports: tuple[Network, ...] = ()

    @property
    def families(self) -> frozenset[int]:
        """Families that the kernel has switched on; kube-proxy programs no other."""
        return frozenset((4, 6)) if self.own is None else frozenset(one.version for one in self.own)

    def serving(self) -> tuple[Address, ...]:
        """Addresses that serve node ports, without loopback and IPv6 link-local ones."""
        return tuple(sorted(filter(self._serves, self.own or ()), key=address_order))

    def _serves(self, address: Address) -> bool:
        if address.is_loopback or (address.version == 6 and address.is_link_local):
            return False
        cidrs = [one for one in self.node_ports if one.version == address.version]
        return not cidrs or any(address in one for one in cidrs)


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


def expected(ports: ServicePorts, where: Where, addresses: NodeAddresses) -> Expected:
    """What should be on a node."""
    found: dict[Key, ExpectedService] = {}
    claims: dict[Key, list[str]] = {}
    node_ports: list[ExpectedService] = []
    serving = addresses.serving()
    families = addresses.families
    for port in ports.ports:
        if port.cluster_ip.version not in families:
            continue
        inside = choose(port, where, local=port.internal_local)
        outside = choose(port, where, local=port.external_local)
        everything = frozenset(one.target for one in port.endpoints)
        mine: dict[Key, ExpectedService] = {}
        for address, reach, number in _addresses(port, serving):
            key = (port.protocol, address, number)
            choice = inside if reach == "ClusterIP" else outside
            mine[key] = ExpectedService(port=port, reach=reach, key=key, choice=choice, endpoints=everything)
        for key in mine:
            claims.setdefault(key, []).append(port.owner)
        found |= mine
        if port.node_port and addresses.own is None:
            key = (port.protocol, port.cluster_ip, port.node_port)
            node_ports.append(
                ExpectedService(port=port, reach="node port", key=key, choice=outside, endpoints=everything)
            )
    services = tuple(found.values())
    inside_ips = frozenset(one.key[1] for one in services if one.reach == "ClusterIP")
    outside_ips = frozenset(one.key[1] for one in services if one.reach not in ("ClusterIP", "node port"))
    # An address that another interface has is not bound to kube-ipvs0.
    bound = frozenset() if addresses.own is None else outside_ips - addresses.own
    return Expected(
        services=services,
        node_ports=tuple(node_ports),
        addresses=inside_ips | bound,
        may=outside_ips if addresses.own is None else frozenset(),
        api=tuple(one.key for one in services if one.port.owner == API_SERVICE and one.reach == "ClusterIP"),
        dns=tuple(one.key for one in services if one.port.owner in ports.dns and one.reach == "ClusterIP"),
        ports=ports,
        where=where,
        shared={key: tuple(owners) for key, owners in claims.items() if len(set(owners)) > 1},
    )


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
        self._by_key: dict[Key, VirtualService] = {}
        self._by_address: dict[tuple[object, object], list[VirtualService]] = {}
        self._by_name: dict[tuple[object, str], list[VirtualService]] = {}
        self._nameless: set[tuple[object, int | None]] = set()
        for service in table.services:
            if (key := service.key) is not None:
                self._by_key[key] = service
            elif service.place.address is not None:
                self._by_address.setdefault((service.protocol, service.place.address), []).append(service)
            else:
                self._nameless.add((service.protocol, service.place.port))
                if called := _called(service.place.name):
                    self._by_name.setdefault((service.protocol, called), []).append(service)

    def at(self, key: Key) -> VirtualService | None:
        """The service at an address and port; where the port is hidden, address and protocol decide."""
        if found := self._by_key.get(key):
            return found
        return _only(self._by_address.get(key[:2], ()), key[2])

    def find(self, expectation: ExpectedService) -> VirtualService | None:
        """The service of an expectation: by its key, else by the Service's name in the cluster's DNS."""
        key = expectation.key
        return self.at(key) or _only(self._by_name.get((key[0], expectation.port.owner), ()), key[2])

    def may_hide(self, key: Key) -> bool:
        """Whether a name that says nothing may stand for it."""
        return (key[0], None) in self._nameless or (key[0], key[2]) in self._nameless


def _only(services: Iterable[VirtualService], port: int) -> VirtualService | None:
    matches = [one for one in services if one.place.port in (None, port)]
    return matches[0] if len(matches) == 1 else None


def _called(name: str) -> str:
    """`kubernetes.default.svc.clust` is default/kubernetes; a name that was cut before its namespace says nothing."""
    words = name.split(".")
    return f"{words[1]}/{words[0]}" if len(words) >= 3 and words[2] == "svc" else ""


class Places:
    """Places as a listing shows them, asked for an endpoint, or endpoints asked for a place.

    Args:
        places: Address and port of each; None: hidden.
    """

    def __init__(self, places: Iterable[Place | Target]) -> None:
        pairs = [one if isinstance(one, tuple) else (one.address, one.port) for one in places]
        self.exact = {one for one in pairs if None not in one}
        self._hidden = {one for one in pairs if None in one}
        self._indexed: set[tuple[object, object]] | None = None

    def may_show(self, target: Target) -> bool:
        """Whether a resolved listing may show this endpoint under a name, or without its port."""
        address, port = target
        return bool(self._hidden) and any(one in self._hidden for one in ((address, None), (None, port), (None, None)))

    def may_be(self, place: Place) -> bool:
        """Whether a place is one of these, as far as it is shown."""
        if place.address is not None and place.port is not None:
            return (place.address, place.port) in self.exact
        if self._indexed is None:
            self._indexed = {half for one in self.exact for half in ((one[0], None), (None, one[1]), (None, None))}
        return (place.address, place.port) in self._indexed
