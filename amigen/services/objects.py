"""Service ports and their endpoints, filtered as kube-proxy filters them: one idea, its view of the API's objects.

Sources, all of Kubernetes 1.37 and compared with 1.34: the label and field selectors of the informers in
cmd/kube-proxy/app/server.go; `serviceToServiceMap` in pkg/proxy/servicechangetracker.go; `newBaseServiceInfo` in
pkg/proxy/serviceport.go; `endpointInfoByServicePort` and `addEndpoints` in pkg/proxy/endpointslicecache.go;
`GetClusterIPByFamily` and `ShouldSkipService` in pkg/proxy/util/utils.go; pkg/api/v1/service/util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from amigen.services.difference import Difference
from amigen.services.model import (
    Address,
    Endpoint,
    Network,
    Protocol,
    ProxyFeatures,
    ServicePort,
    ServicePorts,
    Target,
    read_address,
    read_network,
)

Json: TypeAlias = Mapping[str, Any]

_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"
_SLICE_SERVICE = "kubernetes.io/service-name"
_PROTOCOLS: dict[str, Protocol] = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}
_AFFINITY_SECONDS = 10800  # DefaultClientIPServiceAffinitySeconds in k8s.io/api/core/v1/types.go


# What reading ends in where an object is not what the API documents.
_ODD = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)


def read_services(services: Iterable[Json], slices: Iterable[Json], features: ProxyFeatures) -> ServicePorts:
    """Service ports of both families out of API objects (`v1`, `discovery.k8s.io/v1`) as JSON."""
    odd: list[Difference] = []
    of_service: dict[str, list[Json]] = {}
    for slice_ in slices:
        try:
            owner = _slice_owner(slice_)
        except _ODD as error:
            odd.append(_odd(_name(slice_), "EndpointSlice", error))
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
            if _is_dns(service, owner):
                dns.add(owner)
        except _ODD as error:
            odd.append(_odd(owner, "Service", error))
            continue
        ports += found
        if owner == "default/kubernetes" and found:
            api = found[0].cluster_ip
    if not dns and api is not None:
        # kubeadm and EKS give DNS the tenth address of the service CIDR, the API the first.
        tenth = api + 9
        dns = {one.owner for one in ports if one.cluster_ip == tenth and one.port == 53}
    return ServicePorts(ports=tuple(ports), odd=tuple(odd), dns=frozenset(dns))


def _odd(owner: str, what: str, error: Exception) -> Difference:
    """An object that cannot be judged; all others are."""
    why = f"{what} is not what the API documents ({type(error).__name__}: {error})"
    return Difference("unreadable", owner, f"{owner} cannot be judged: {why}", "check this object in the API")


def _address(text: object) -> Address:
    address = read_address(text)
    if address is None:
        raise ValueError(f"{text!r} is not an address")
    return address


def _name(item: object) -> str:
    meta = item.get("metadata") if isinstance(item, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    return f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"


def _labels(item: Json) -> Json:
    labels: Json = item["metadata"].get("labels") or {}
    return labels


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
    return (known or owner == "kube-system/kube-dns") and any(
        one["port"] == 53 for one in service["spec"].get("ports") or []
    )


def _of_service(
    service: Json, owner: str, slices: Iterable[Json], features: ProxyFeatures, odd: list[Difference]
) -> list[ServicePort]:
    labels = _labels(service)
    spec = service["spec"]
    if (
        _OTHER_PROXY in labels
        or (_HEADLESS in labels and not features.headless_services)
        or spec.get("clusterIP") in (None, "", "None")
        or spec.get("type") == "ExternalName"
    ):
        return []
    found: list[ServicePort] = []
    endpoints: dict[tuple[str, str, int], dict[Target, Endpoint]] = {}
    for slice_ in slices:
        _add_slice(endpoints, slice_, owner, odd)
    for family in (4, 6):
        if text := _cluster_ip(spec, family):
            found += _of_family(service, owner, _address(text), features, endpoints)
    return found


def _cluster_ip(spec: Json, family: int) -> str:
    """The ClusterIP of a family, as `GetClusterIPByFamily` finds it."""
    families = spec.get("ipFamilies") or []
    if not families:
        first = str(spec["clusterIP"])
        is_v6 = (one := read_address(first)) is not None and one.version == 6
        return first if is_v6 == (family == 6) else ""
    return str(dict(zip(families, spec.get("clusterIPs") or [], strict=False)).get(f"IPv{family}", ""))


def _of_family(
    service: Json,
    owner: str,
    cluster_ip: Address,
    features: ProxyFeatures,
    endpoints: Mapping[tuple[str, str, int], Mapping[Target, Endpoint]],
) -> list[ServicePort]:
    spec, family = service["spec"], cluster_ip.version
    given = map(read_address, spec.get("externalIPs") or [])
    external = tuple(dict.fromkeys(one for one in given if one is not None and one.version == family))
    balancers = tuple(dict.fromkeys(one for one in _load_balancer_ips(service) if one.version == family))
    kind = spec.get("type") or "ClusterIP"
    # `ExternallyAccessible` of the API package decides about the policy, that of kube-proxy about its use.
    outside = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    found = []
    for port in spec.get("ports") or []:
        protocol = _PROTOCOLS[port.get("protocol") or "TCP"]
        name, node_port = port.get("name") or "", int(port.get("nodePort") or 0)
        ends = endpoints.get((name, protocol, family), {})
        found.append(
            ServicePort(
                owner=owner,
                name=name,
                protocol=protocol,
                cluster_ip=cluster_ip,
                port=int(port["port"]),
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
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or _AFFINITY_SECONDS)


def _load_balancer_ips(service: Json) -> list[Address]:
    """Load balancer addresses that kube-proxy serves itself: those of mode VIP, the default (KEP-1860)."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [_address(one["ip"]) for one in ingress if one.get("ip") and one.get("ipMode") in (None, "VIP")]


def _source_ranges(spec: Json, family: int) -> tuple[Network, ...]:
    read = (read_network(str(text).strip()) for text in spec.get("loadBalancerSourceRanges") or [])
    found = tuple(one for one in read if one is not None and one.version == family)
    return () if any(one.prefixlen == 0 for one in found) else found


def _add_slice(
    endpoints: dict[tuple[str, str, int], dict[Target, Endpoint]], slice_: Json, owner: str, odd: list[Difference]
) -> None:
    """Add what a slice has; one that cannot be read is named, and the others count."""
    try:
        family = 4 if slice_["addressType"] == "IPv4" else 6
        for port in slice_.get("ports") or []:
            if number := int(port.get("port") or 0):  # no port means any port, which kube-proxy does not serve
                key = (port.get("name") or "", port.get("protocol") or "TCP", family)
                _add_endpoints(endpoints.setdefault(key, {}), slice_, number)
    except _ODD as error:
        odd.append(_odd(owner, f"EndpointSlice {_name(slice_)}", error))


def _add_endpoints(found: dict[Target, Endpoint], slice_: Json, port: int) -> None:
    for one in slice_.get("endpoints") or []:
        if not one.get("addresses"):
            continue
        # kube-proxy takes the first address and leaves the others alone.
        target = (_read_once(one["addresses"][0]), port)
        conditions = one.get("conditions") or {}
        terminating = conditions.get("terminating") is True
        # An address may be there twice while it moves between slices, or is used again: one that runs wins.
        if target not in found or not terminating:
            hints = one.get("hints") or {}
            found[target] = Endpoint(
                target=target,
                node=one.get("nodeName") or "",
                ready=conditions.get("ready") is not False,
                serving=conditions.get("serving") is not False,
                terminating=terminating,
                zones=frozenset(hint["name"] for hint in hints.get("forZones") or ()),
                nodes=frozenset(hint["name"] for hint in hints.get("forNodes") or ()),
            )


_read_once = lru_cache(maxsize=1 << 17)(_address)
