"""What kube-proxy makes of Services and EndpointSlices in ipvs mode, as far as the API says it.

Source: syncProxyRules and syncEndpoint in pkg/proxy/ipvs/proxier.go, CategorizeEndpoints in pkg/proxy/topology.go, and
https://kubernetes.io/docs/reference/networking/virtual-ips/. What is read here:

* each ClusterIP, external IP and load-balancer IP gets a virtual service per port, also without any endpoint;
* headless and ExternalName Services get none, nor those that name another proxy by label;
* a ready endpoint is a real server, masqueraded, weight 1; while an endpoint ends, it may stay with weight 0;
* `internalTrafficPolicy: Local` and topology hints leave endpoints of other nodes out;
* node ports are served on the node's own addresses: these are known by port, not by address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias, get_args

from amigen.base.errors import KubernetesError
from amigen.ipvs.model import Address, Key, Protocol

Json: TypeAlias = Mapping[str, Any]
Reach: TypeAlias = Literal["ClusterIP", "external IP", "load balancer"]

_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_SLICE_SERVICE = "kubernetes.io/service-name"
API_SERVICE = "default/kubernetes"
DNS_LABEL = ("k8s-app", "kube-dns")

# An endpoint: address and port of a real server.
Target: TypeAlias = tuple[Address, int]


@dataclass(frozen=True, kw_only=True)
class ExpectedService:
    """One virtual service that kube-proxy should have made.

    Attributes:
        owner: `namespace/name` of the Service; `port` the name or number of its port.
        required: Endpoints that must be real servers.
        allowed: Endpoints that may be, with those required: ending ones, and those that topology may leave out.
        affinity: Seconds of `sessionAffinity: ClientIP`; None without.
    """

    owner: str
    port: str
    reach: Reach
    key: Key
    required: frozenset[Target] = frozenset()
    allowed: frozenset[Target] = frozenset()
    affinity: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExpectedNodePort:
    """A node port: on which addresses it is served is the node's own business."""

    owner: str
    protocol: Protocol
    port: int
    allowed: frozenset[Target]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a node's IPVS table and its `kube-ipvs0` should hold.

    Attributes:
        addresses: What must be bound to `kube-ipvs0`.
        api: Keys of the API service; `dns` of the cluster's DNS service; empty where the cluster has none.
    """

    services: tuple[ExpectedService, ...] = ()
    node_ports: tuple[ExpectedNodePort, ...] = ()
    addresses: frozenset[Address] = frozenset()
    api: tuple[Key, ...] = ()
    dns: tuple[Key, ...] = ()


@dataclass
class _Endpoints:
    """The endpoints of one Service port."""

    required: set[Target] = field(default_factory=set)
    allowed: set[Target] = field(default_factory=set)


def expected(services: Iterable[Json], slices: Iterable[Json], *, node: str = "", zone: str = "") -> Expected:
    """What should be on a node, from API objects of any version (`discovery.k8s.io/v1beta1` or `v1`) as JSON.

    Args:
        services: All Services.
        slices: All EndpointSlices.
        node: Name of the Node, for what is local to it; empty: not known.
        zone: Its `topology.kubernetes.io/zone`; empty: not known.
    """
    by_service: dict[str, list[Json]] = {}
    for slice_ in slices:
        meta = slice_.get("metadata") or {}
        name = (meta.get("labels") or {}).get(_SLICE_SERVICE)
        if name:
            by_service.setdefault(f"{meta.get('namespace', '')}/{name}", []).append(slice_)
    found: list[ExpectedService] = []
    node_ports: list[ExpectedNodePort] = []
    dns: list[Key] = []
    for service in services:
        if not _is_proxied(service):
            continue
        of_service, of_nodes = _of_service(service, by_service.get(_owner(service), []), node=node, zone=zone)
        found.extend(of_service)
        node_ports.extend(of_nodes)
        if _is_dns(service):
            dns.extend(one.key for one in of_service if one.reach == "ClusterIP")
    return Expected(
        services=tuple(found),
        node_ports=tuple(node_ports),
        addresses=frozenset(one.key[1] for one in found),
        api=tuple(one.key for one in found if one.owner == API_SERVICE and one.reach == "ClusterIP"),
        dns=tuple(dns),
    )


def _owner(service: Json) -> str:
    meta = service.get("metadata") or {}
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


def _is_proxied(service: Json) -> bool:
    spec = service.get("spec") or {}
    labels = (service.get("metadata") or {}).get("labels") or {}
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in (None, "", "None")
        and _OTHER_PROXY not in labels
    )


def _is_dns(service: Json) -> bool:
    labels = (service.get("metadata") or {}).get("labels") or {}
    return _owner(service).startswith("kube-system/") and labels.get(DNS_LABEL[0]) == DNS_LABEL[1]


def _of_service(
    service: Json, slices: list[Json], *, node: str, zone: str
) -> tuple[list[ExpectedService], list[ExpectedNodePort]]:
    spec = service["spec"]
    local = spec.get("internalTrafficPolicy") == "Local"
    affinity = _affinity(spec)
    found: list[ExpectedService] = []
    node_ports: list[ExpectedNodePort] = []
    for port in spec.get("ports") or []:
        protocol: Protocol = port.get("protocol") or "TCP"
        if protocol not in get_args(Protocol):
            continue
        label = str(port.get("name") or port["port"])
        inside = _endpoints(slices, port, node=node, zone=zone, local=local)
        outside = _endpoints(slices, port, node=node, zone=zone, local=False)
        for address, reach in _addresses(spec, service.get("status") or {}):
            # A load balancer's traffic may follow externalTrafficPolicy: Local: no endpoint is a must there.
            ends = inside if reach == "ClusterIP" else _Endpoints(set(), outside.required | outside.allowed)
            found.append(
                ExpectedService(
                    owner=_owner(service),
                    port=label,
                    reach=reach,
                    key=(protocol, address, int(port["port"])),
                    required=_of_family(ends.required, address),
                    allowed=_of_family(ends.allowed, address),
                    affinity=affinity,
                )
            )
        if port.get("nodePort"):
            everything = frozenset(outside.required | outside.allowed)
            number = int(port["nodePort"])
            node_ports.append(
                ExpectedNodePort(owner=_owner(service), protocol=protocol, port=number, allowed=everything)
            )
    return found, node_ports


def _affinity(spec: Json) -> int | None:
    if spec.get("sessionAffinity") != "ClientIP":
        return None
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or 10800)


def _addresses(spec: Json, status: Json) -> list[tuple[Address, Reach]]:
    pairs: list[tuple[str, Reach]] = [(ip, "ClusterIP") for ip in spec.get("clusterIPs") or [spec["clusterIP"]]]
    pairs += [(ip, "external IP") for ip in spec.get("externalIPs") or []]
    for ingress in (status.get("loadBalancer") or {}).get("ingress") or []:
        # ipMode Proxy: the load balancer is to be reached itself, kube-proxy leaves its address alone (KEP-1860).
        if ingress.get("ip") and ingress.get("ipMode") != "Proxy":
            pairs.append((ingress["ip"], "load balancer"))
    return [(_address(ip), reach) for ip, reach in dict(pairs).items()]


def _address(text: str) -> Address:
    """An address as the API says it.

    Raises:
        KubernetesError: It is none.
    """
    try:
        return ip_address(text)
    except ValueError:
        raise KubernetesError(
            f"the cluster says an address that is none: {text!r}", "which Service or EndpointSlice has it?"
        ) from None


def _of_family(targets: Iterable[Target], address: Address) -> frozenset[Target]:
    return frozenset(target for target in targets if target[0].version == address.version)


def _endpoints(slices: list[Json], port: Json, *, node: str, zone: str, local: bool) -> _Endpoints:
    """The endpoints of one port of a Service; the slice's own port of the same name and protocol has the number."""
    found = _Endpoints()
    for slice_ in slices:
        numbers = [
            one["port"]
            for one in slice_.get("ports") or []
            if (one.get("name") or "") == (port.get("name") or "")
            and (one.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            and one.get("port")
        ]
        if slice_.get("addressType") not in ("IPv4", "IPv6"):
            continue
        for endpoint in slice_.get("endpoints") or []:
            for number in numbers:
                _sort_in(found, endpoint, int(number), node=node, zone=zone, local=local)
    return found


def _sort_in(found: _Endpoints, endpoint: Json, port: int, *, node: str, zone: str, local: bool) -> None:
    conditions = endpoint.get("conditions") or {}
    # An unknown condition counts as ready (discovery/v1 types.go).
    ready = conditions.get("ready") is not False
    ending = conditions.get("serving") is True and conditions.get("terminating") is True
    where = endpoint.get("nodeName") or (endpoint.get("topology") or {}).get("kubernetes.io/hostname") or ""
    if local and node and where != node:
        return
    zones = [hint.get("name") for hint in (endpoint.get("hints") or {}).get("forZones") or []]
    nodes = [hint.get("name") for hint in (endpoint.get("hints") or {}).get("forNodes") or []]
    hinted_away = bool((zones and zone not in zones) or (nodes and node not in nodes))
    # kube-proxy takes the first address and leaves the others alone (addEndpoints in pkg/proxy/endpointslicecache.go).
    targets = [(_address(address), port) for address in endpoint.get("addresses") or []]
    if ready and not hinted_away and not (local and not node):
        found.required.update(targets[:1])
        found.allowed.update(targets[1:])
    elif ready or ending:
        found.allowed.update(targets)
