"""The virtual services that kube-proxy programs in ipvs mode.

Source: `syncProxyRules` in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37. Every address of a Service port gets a virtual
service, also without any endpoint: the ClusterIP by the internal traffic policy, external and load balancer addresses
and node ports by the external one. Every real server has weight 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from amigen.ipvs.model import Address, Key
from amigen.services.model import Network, Odd, Reach, ServicePort, ServicePorts, Target
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

    def at(self, address: Address) -> ExpectedService:
        """The same at another address."""
        return replace(self, key=(self.key[0], address, self.key[2]))


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
        return tuple(
            sorted(
                (one for one in self.own or () if not one.is_loopback and not _is_local_v6(one) and self._in(one)),
                key=lambda one: (one.version, int(one)),
            )
        )

    def _in(self, address: Address) -> bool:
        cidrs = [one for one in self.node_ports if one.version == address.version]
        return not cidrs or any(address in one for one in cidrs)


def _is_local_v6(address: Address) -> bool:
    return address.version == 6 and address.is_link_local


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
    odd: tuple[Odd, ...] = ()
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
    return _collect(found.values(), claims, node_ports, ports, addresses)


def _addresses(port: ServicePort, serving: Iterable[Address]) -> Iterator[tuple[Address, Reach, int]]:
    yield from ((address, reach, port.port) for address, reach in port.addresses)
    if port.node_port:
        for address in serving:
            if address.version == port.cluster_ip.version:
                yield address, "node port", port.node_port


def _collect(
    services: Iterable[ExpectedService],
    claims: dict[Key, list[str]],
    node_ports: list[ExpectedService],
    ports: ServicePorts,
    addresses: NodeAddresses,
) -> Expected:
    services = tuple(services)
    bound: set[Address] = set()
    may: set[Address] = set()
    for one in services:
        if one.reach == "ClusterIP":
            bound.add(one.key[1])
        elif one.reach != "node port":
            # An address that another interface has is not bound to kube-ipvs0.
            if addresses.own is None:
                may.add(one.key[1])
            elif one.key[1] not in addresses.own:
                bound.add(one.key[1])
    return Expected(
        services=services,
        node_ports=tuple(node_ports),
        addresses=frozenset(bound),
        may=frozenset(may),
        api=tuple(one.key for one in services if one.port.owner == API_SERVICE and one.reach == "ClusterIP"),
        dns=tuple(one.key for one in services if one.port.owner in ports.dns and one.reach == "ClusterIP"),
        odd=ports.odd,
        shared={key: tuple(owners) for key, owners in claims.items() if len(set(owners)) > 1},
    )
