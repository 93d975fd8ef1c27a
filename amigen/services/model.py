"""Service ports and their endpoints as types. Sources are in `amigen.services.objects`, which reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal, TypeAlias

from amigen.services.difference import Difference

Address: TypeAlias = IPv4Address | IPv6Address
Protocol: TypeAlias = Literal["TCP", "UDP", "SCTP"]
Network: TypeAlias = IPv4Network | IPv6Network
Reach: TypeAlias = Literal["ClusterIP", "external IP", "load balancer", "node port"]
# Address and port of an endpoint.
Target: TypeAlias = tuple[Address, int]


def read_address(text: object) -> Address | None:
    """An address as `ParseIPSloppy` of k8s.io/utils/net reads it; None where it is not one.

    Leading zeros of IPv4 are decimal, an IPv4-mapped IPv6 address is the IPv4 address, and a zone is not accepted.
    """
    if not isinstance(text, str) or "%" in text or not text.isascii():
        return None
    head, colon, tail = text.rpartition(":")
    if "." in tail:
        numbers = tail.split(".")
        if len(numbers) != 4 or not all(one.isdigit() and len(one) < 20 and int(one) < 256 for one in numbers):
            return None
        tail = ".".join(str(int(one)) for one in numbers)
    try:
        address = ip_address(head + colon + tail)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_network(text: object) -> Network | None:
    """A CIDR as `ParseCIDRSloppy` of k8s.io/utils/net reads it; None where it is not one.

    The length of an IPv4-mapped IPv6 network counts 128 bits: `::ffff:10.0.0.0/104` is 10.0.0.0/8, and one that is
    shorter than /96 is a network of IPv6.
    """
    host, _, digits = text.partition("/") if isinstance(text, str) else ("", "", "")
    address = read_address(host)
    if address is None or not re.fullmatch("0*[0-9]{1,3}", digits):
        return None
    bits, mapped = int(digits), ":" in host and address.version == 4
    if mapped and bits < 96:
        address = IPv6Address(0xFFFF << 32 | int(address))
    elif mapped:
        bits -= 96
    return ip_network((address, bits), strict=False) if bits <= address.max_prefixlen else None


def place_text(address: Address, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def address_order(address: Address) -> tuple[int, int]:
    """What sorts addresses: family, then value."""
    return address.version, int(address)


def in_order(target: Target) -> tuple[int, int, int]:
    """What sorts endpoints: address, then port."""
    return (*address_order(target[0]), target[1])


@dataclass(frozen=True, kw_only=True)
class ProxyFeatures:
    """What differs between versions and feature gates of kube-proxy.

    Attributes:
        node_hints: `hints.forNodes` is read: gate PreferSameTrafficDistribution, on by default since 1.34.
        external_ips: External IPs are programmed: gate AllowServiceExternalIPs (KEP-5707).
        headless_services: A Service with the label `service.kubernetes.io/headless` is handled; since 1.36 the
            label selector of Services no longer excludes it.
    """

    node_hints: bool = True
    external_ips: bool = True
    headless_services: bool = True

    @classmethod
    def of(cls, version: tuple[int, int], gates: Mapping[str, Any]) -> ProxyFeatures:
        """For a minor version and the `featureGates` of a KubeProxyConfiguration."""
        return cls(
            node_hints=version >= (1, 35)
            or (version >= (1, 33) and bool(gates.get("PreferSameTrafficDistribution", version >= (1, 34)))),
            external_ips=gates.get("AllowServiceExternalIPs") is not False,
            headless_services=version >= (1, 36),
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a Service port."""

    target: Target
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset[str]
    nodes: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePort:
    """One port of a Service in one address family.

    Attributes:
        owner: `namespace/name` of the Service.
        name: Name of the port, empty for a single unnamed port.
        node_port: 0: none.
        load_balancer_ips: Those of mode VIP.
        affinity: Seconds of `sessionAffinity: ClientIP`; None without.
        source_ranges: `loadBalancerSourceRanges`; empty: everybody may.
        endpoints: Sorted, each address and port once.
    """

    owner: str
    name: str
    protocol: Protocol
    cluster_ip: Address
    port: int
    node_port: int = 0
    external_ips: tuple[Address, ...] = ()
    load_balancer_ips: tuple[Address, ...] = ()
    affinity: int | None = None
    internal_local: bool = False
    external_local: bool = False
    accessible: bool = False
    source_ranges: tuple[Network, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def addresses(self) -> Iterator[tuple[Address, Reach]]:
        """All but node ports, in kube-proxy's order: of a duplicate address the last one counts."""
        yield self.cluster_ip, "ClusterIP"
        yield from ((address, "external IP") for address in self.external_ips)
        yield from ((address, "load balancer") for address in self.load_balancer_ips)

    @property
    def label(self) -> str:
        """The port as messages call it."""
        return f"{self.owner}:{self.name or self.port}"


@dataclass(frozen=True, kw_only=True)
class ServicePorts:
    """All Service ports that kube-proxy handles, and what could not be read."""

    ports: tuple[ServicePort, ...] = ()
    odd: tuple[Difference, ...] = ()
    dns: frozenset[str] = frozenset()
