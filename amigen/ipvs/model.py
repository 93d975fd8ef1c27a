"""The IPVS table as types, the same for every listing that it can be read from."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal, TypeAlias

from amigen.services.model import Address as Address
from amigen.services.model import Protocol as Protocol

# `Tunnel` and `Route` never come from kube-proxy, which only masquerades; a table can hold them.
Forward: TypeAlias = Literal["Masq", "Local", "Tunnel", "Route"]

# protocol, address, port: what a virtual service of kube-proxy is found by.
Key: TypeAlias = tuple[Protocol, Address, int]
# Address and port of an endpoint; None: a listing hides it.
Pair: TypeAlias = tuple[Address | None, int | None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """An address and port as a listing shows them.

    Attributes:
        address: None where only a name is shown that says no address.
        port: 0 is IPVS's "any port"; None where the listing cut it off or shows a name that is not known here.
        name: The host name that `ipvsadm -L` resolved; empty in numeric listings.
    """

    address: Address | None
    port: int | None
    name: str = ""

    @property
    def pair(self) -> Pair:
        """Address and port."""
        return self.address, self.port

    def __str__(self) -> str:
        host = self.name or (f"[{self.address}]" if isinstance(self.address, IPv6Address) else str(self.address))
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class RealServer:
    """One real server: in Kubernetes, one endpoint. Weight 0 takes no new connections."""

    place: Place
    forward: Forward
    weight: int


@dataclass(frozen=True, kw_only=True)
class VirtualService:
    """One virtual service: an address and port of one protocol.

    Attributes:
        scheduler: Its name; `none` where the kernel has none attached.
        persistent: Seconds for which a client stays with its server; None: not persistent.
        ticks: True where `persistent` counts the kernel's ticks (CONFIG_HZ a second), as `/proc/net/ip_vs` does.
    """

    protocol: Protocol
    place: Place
    scheduler: str
    persistent: int | None = None
    ticks: bool = False
    servers: tuple[RealServer, ...] = ()

    @property
    def key(self) -> Key | None:
        """What it is found by; None where a listing hides address or port."""
        if self.place.address is None or self.place.port is None:
            return None
        return self.protocol, self.place.address, self.place.port

    def __str__(self) -> str:
        return f"{self.protocol} {self.place}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """The virtual services of addresses, which are kube-proxy's: it makes none of a firewall mark.

    Attributes:
        size: Buckets of the connection table; 0 where the listing has no first line.
    """

    size: int = 0
    services: tuple[VirtualService, ...] = ()
