"""The virtual services that kube-proxy programs in ipvs mode.

Source: `syncProxyRules` in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37. Every address of a Service port gets a virtual
service, also without any endpoint: the ClusterIP by the internal traffic policy, external and load balancer addresses
and node ports by the external one. Every real server has weight 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amigen.ipvs.model import Address, Key
from amigen.services.model import Difference, Network, Reach, ServicePort, ServicePorts, Target
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
        serving = (one for one in self.own or () if self._serves(one))
        return tuple(sorted(serving, key=lambda one: (one.version, int(one))))

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
        odd: Objects that could not be judged.
        shared: Addresses that two Services claim: kube-proxy programs one of them, whichever it meets last.
    """

    services: tuple[ExpectedService, ...] = ()
    node_ports: tuple[ExpectedService, ...] = ()
    addresses: frozenset[Address] = frozenset()
    may: frozenset[Address] = frozenset()
    api: tuple[Key, ...] = ()
    dns: tuple[Key, ...] = ()
    odd: tuple[Difference, ...] = ()
    shared: dict[Key, tuple[str, ...]] = field(default_factory=dict)

    def count(self) -> dict[Reach, int]:
        """How many virtual services each kind of address needs."""
        return Counter(one.reach for one in self.services)


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
        odd=ports.odd,
        shared={key: tuple(owners) for key, owners in claims.items() if len(set(owners)) > 1},
    )


def _addresses(port: ServicePort, serving: Iterable[Address]) -> Iterator[tuple[Address, Reach, int]]:
    yield from ((address, reach, port.port) for address, reach in port.addresses)
    if port.node_port:
        for address in serving:
            if address.version == port.cluster_ip.version:
                yield address, "node port", port.node_port
