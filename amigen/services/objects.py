"""Service ports and their endpoints, filtered as kube-proxy filters them: one idea, its view of the API's objects.

Sources, all of Kubernetes 1.37 and compared with 1.34: the label and field selectors of the informers in
cmd/kube-proxy/app/server.go; `serviceToServiceMap` in pkg/proxy/servicechangetracker.go; `newBaseServiceInfo` in
pkg/proxy/serviceport.go; `endpointInfoByServicePort` and `addEndpoints` in pkg/proxy/endpointslicecache.go;
`GetClusterIPByFamily` and `ShouldSkipService` in pkg/proxy/util/utils.go; pkg/api/v1/service/util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, TypeAlias

from amigen.services.addresses import Address, read_address
from amigen.services.model import (
    Endpoint,
    Family,
    Network,
    Odd,
    Protocol,
    ProxyFeatures,
    ServicePort,
    ServicePorts,
    Target,
)

Json: TypeAlias = Mapping[str, Any]

_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"
_SLICE_SERVICE = "kubernetes.io/service-name"
_PROTOCOLS: dict[str, Protocol] = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}
_AFFINITY_SECONDS = 10800  # DefaultClientIPServiceAffinitySeconds in k8s.io/api/core/v1/types.go


class _OddError(Exception):
    """An object is not what the API documents."""


def read_services(services: Iterable[Json], slices: Iterable[Json], features: ProxyFeatures) -> ServicePorts:
    """Service ports of both families out of API objects (`v1`, `discovery.k8s.io/v1`) as JSON."""
    odd: list[Odd] = []
    of_service: dict[str, list[Json]] = {}
    for slice_ in slices:
        try:
            owner = _slice_owner(slice_)
        except _OddError as error:
            odd.append(Odd(_name(slice_), f"EndpointSlice: {error}"))
            continue
        if owner:
            of_service.setdefault(owner, []).append(slice_)
    ports: list[ServicePort] = []
    dns: set[str] = set()
    api: Address | None = None
    for service in services:
        owner = _name(service)
        try:
            found = _of_service(service, owner, of_service.get(owner, ()), features, odd)
        except _OddError as error:
            odd.append(Odd(owner, str(error)))
            continue
        ports += found
        if owner == "default/kubernetes" and found:
            api = found[0].cluster_ip
        if _is_dns(service, owner):
            dns.add(owner)
    if not dns and api is not None:
        # kubeadm and EKS give DNS the tenth address of the service CIDR, the API the first.
        tenth = api + 9
        dns = {one.owner for one in ports if one.cluster_ip == tenth and one.port == 53}
    return ServicePorts(ports=tuple(ports), odd=tuple(odd), dns=frozenset(dns))


def _map(value: object, what: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _OddError(f"{what} is not an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _OddError(f"{what} is not a list")
    return value


def _text(value: object, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _OddError(f"{what} is not text: {value!r}")
    return value


def _port(value: object, what: str) -> int:
    if value in (None, 0):
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise _OddError(f"{what} is not a port: {value!r}")
    return value


def _name(item: object) -> str:
    meta = item.get("metadata") if isinstance(item, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    return f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"


def _labels(item: Json) -> Json:
    return _map(_map(item, "the object").get("metadata") and item["metadata"].get("labels"), "metadata.labels")


def _slice_owner(slice_: Json) -> str:
    """The Service of a slice; empty where kube-proxy does not read it."""
    labels = _labels(slice_)
    name = labels.get(_SLICE_SERVICE)
    if not name or _HEADLESS in labels or slice_.get("addressType") not in ("IPv4", "IPv6"):
        return ""
    return f"{slice_['metadata'].get('namespace') or ''}/{name}"


def _is_dns(service: Json, owner: str) -> bool:
    """CoreDNS as its manifests (label k8s-app) and its Helm chart (app.kubernetes.io/name) label it."""
    labels = _labels(service)
    known = labels.get("k8s-app") in ("kube-dns", "coredns") or labels.get("app.kubernetes.io/name") == "coredns"
    ports = _list(_map(service.get("spec"), "spec").get("ports"), "spec.ports")
    return (known or owner == "kube-system/kube-dns") and any(_map(one, "port").get("port") == 53 for one in ports)


def _of_service(
    service: Json, owner: str, slices: Iterable[Json], features: ProxyFeatures, odd: list[Odd]
) -> list[ServicePort]:
    labels = _labels(service)
    spec = _map(service.get("spec"), "spec")
    if (
        _OTHER_PROXY in labels
        or (_HEADLESS in labels and not features.headless_services)
        or _text(spec.get("clusterIP"), "clusterIP") in ("", "None")
        or spec.get("type") == "ExternalName"
    ):
        return []
    families: tuple[Family, Family] = (4, 6)
    found: list[ServicePort] = []
    endpoints: dict[tuple[str, str, int], dict[Target, Endpoint]] = {}
    for slice_ in slices:
        _add_slice(endpoints, slice_, owner, odd)
    for family in families:
        text = _cluster_ip(spec, family)
        if not text:
            continue
        address = read_address(text)
        if address is None:
            raise _OddError(f"the ClusterIP {text!r} is not an address")
        found += _of_family(service, owner, spec, address, family, features, endpoints)
    return found


def _cluster_ip(spec: Json, family: Family) -> str:
    """The ClusterIP of a family, as `GetClusterIPByFamily` finds it."""
    families = _list(spec.get("ipFamilies"), "ipFamilies")
    addresses = _list(spec.get("clusterIPs"), "clusterIPs")
    first = _text(spec.get("clusterIP"), "clusterIP")
    if not families:
        is_v6 = (one := read_address(first)) is not None and one.version == 6
        return first if is_v6 == (family == 6) else ""
    for said, address in zip(families, addresses, strict=False):
        if said == f"IPv{family}":
            return _text(address, "clusterIPs")
    return ""


def _of_family(
    service: Json,
    owner: str,
    spec: Json,
    cluster_ip: Address,
    family: Family,
    features: ProxyFeatures,
    endpoints: Mapping[tuple[str, str, int], Mapping[Target, Endpoint]],
) -> list[ServicePort]:
    external = tuple(
        dict.fromkeys(
            one
            for text in _list(spec.get("externalIPs"), "externalIPs")
            if (one := read_address(text)) is not None and one.version == family
        )
    )
    balancers = tuple(dict.fromkeys(one for one in _load_balancer_ips(service) if one.version == family))
    kind = spec.get("type") or "ClusterIP"
    # `ExternallyAccessible` of the API package decides about the policy, that of kube-proxy about its use.
    outside = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    found = []
    for port in _list(spec.get("ports"), "spec.ports"):
        port = _map(port, "spec.ports")
        protocol = _PROTOCOLS.get(_text(port.get("protocol"), "protocol") or "TCP")
        if protocol is None:
            raise _OddError(f"protocol {port.get('protocol')!r} is not TCP, UDP or SCTP")
        name, number = _text(port.get("name"), "port name"), _port(port.get("port"), "port")
        if not number:
            raise _OddError("a port has no number")
        node_port = _port(port.get("nodePort"), "nodePort")
        ends = endpoints.get((name, protocol, family), {})
        found.append(
            ServicePort(
                owner=owner,
                name=name,
                protocol=protocol,
                cluster_ip=cluster_ip,
                port=number,
                node_port=node_port,
                external_ips=external if features.external_ips else (),
                load_balancer_ips=balancers,
                affinity=_affinity(spec),
                internal_local=spec.get("internalTrafficPolicy") == "Local",
                external_local=outside and spec.get("externalTrafficPolicy") == "Local",
                accessible=bool(node_port or balancers or external),
                source_ranges=_source_ranges(spec, family),
                endpoints=tuple(sorted(ends.values(), key=lambda one: (int(one.target[0]), one.target[1]))),
            )
        )
    return found


def _affinity(spec: Json) -> int | None:
    if spec.get("sessionAffinity") != "ClientIP":
        return None
    config = _map(_map(spec.get("sessionAffinityConfig"), "sessionAffinityConfig").get("clientIP"), "clientIP")
    seconds = config.get("timeoutSeconds")
    if seconds is not None and not isinstance(seconds, int):
        raise _OddError(f"clientIP.timeoutSeconds is not a number: {seconds!r}")
    return seconds or _AFFINITY_SECONDS


def _load_balancer_ips(service: Json) -> list[Address]:
    """Load balancer addresses that kube-proxy serves itself: those of mode VIP, the default (KEP-1860)."""
    status = _map(_map(service.get("status"), "status").get("loadBalancer"), "status.loadBalancer")
    found = []
    for ingress in _list(status.get("ingress"), "status.loadBalancer.ingress"):
        ingress = _map(ingress, "status.loadBalancer.ingress")
        if not ingress.get("ip") or ingress.get("ipMode") not in (None, "VIP"):
            continue
        address = read_address(ingress["ip"])
        if address is None:
            raise _OddError(f"the load balancer address {ingress['ip']!r} is not an address")
        found.append(address)
    return found


def _source_ranges(spec: Json, family: Family) -> tuple[Network, ...]:
    found: list[Network] = []
    for text in _list(spec.get("loadBalancerSourceRanges"), "loadBalancerSourceRanges"):
        host, _, prefix = str(text).strip().partition("/")
        address = read_address(host)
        try:
            network = ip_network(f"{address}/{int(prefix)}", strict=False) if address and prefix else None
        except ValueError:
            network = None
        if network is not None and network.version == family:
            found.append(network)
    return () if any(one.prefixlen == 0 for one in found) else tuple(found)


def _add_slice(
    endpoints: dict[tuple[str, str, int], dict[Target, Endpoint]], slice_: Json, owner: str, odd: list[Odd]
) -> None:
    """Add what a slice has; one that cannot be read is named, and the others count."""
    try:
        family = 4 if slice_["addressType"] == "IPv4" else 6
        for port in _list(slice_.get("ports"), "ports"):
            port = _map(port, "ports")
            number = _port(port.get("port"), "port")
            if number:  # no port means any port, which kube-proxy does not serve
                key = (_text(port.get("name"), "port name"), _text(port.get("protocol"), "protocol") or "TCP", family)
                _add_endpoints(endpoints.setdefault(key, {}), slice_, number)
    except _OddError as error:
        odd.append(Odd(owner, f"EndpointSlice {_name(slice_)}: {error}"))


def _add_endpoints(found: dict[Target, Endpoint], slice_: Json, port: int) -> None:
    for one in _list(slice_.get("endpoints"), "endpoints"):
        one = _map(one, "endpoints")
        addresses = _list(one.get("addresses"), "addresses")
        if not addresses:
            continue
        # kube-proxy takes the first address and leaves the others alone.
        address = _read_once(addresses[0]) if isinstance(addresses[0], str) else None
        if address is None:
            raise _OddError(f"the endpoint address {addresses[0]!r} is not an address")
        conditions = _map(one.get("conditions"), "conditions")
        terminating = conditions.get("terminating") is True
        target = (address, port)
        # An address may be there twice while it moves between slices, or is used again: one that runs wins.
        if target not in found or not terminating:
            hints = one.get("hints")
            found[target] = Endpoint(
                target=target,
                node=_text(one.get("nodeName"), "nodeName"),
                ready=conditions.get("ready") is not False,
                serving=conditions.get("serving") is not False,
                terminating=terminating,
                zones=_hinted(hints, "forZones") if hints else frozenset(),
                nodes=_hinted(hints, "forNodes") if hints else frozenset(),
            )


_read_once = lru_cache(maxsize=1 << 17)(read_address)


def _hinted(hints: object, key: str) -> frozenset[str]:
    entries = _list(_map(hints, "hints").get(key), f"hints.{key}")
    return frozenset(_text(_map(one, key).get("name"), key) for one in entries)
