"""Random clusters of every shape that kube-proxy knows, the same for each seed."""

from __future__ import annotations

import random
from typing import Any

from amigen.services.model import ProxyFeatures, read_address
from amigen.services.objects import read_services
from amigen.services.topology import Where

NODES = ("node-a", "node-b", "node-c", None)
ZONES = ("zone-a", "zone-b")
POLICIES = (None, "Cluster", "Local")


def a_world(seed: int) -> dict[str, Any]:
    """A cluster as `kube-proxy-rules-judge` reads it: a node with addresses of both families, Services and slices."""
    dice = random.Random(seed)
    addresses = ["127.0.0.1", "::1", "10.0.0.7", "fd00:7::7", "fe80::7"]
    if dice.random() < 0.3:
        addresses.append("192.0.2.1")  # an external address of a Service that the node has itself
    world: dict[str, Any] = {
        "node": "node-a",
        "nodeIP": "10.0.0.7",
        "zone": dice.choice(("", *ZONES)),
        "addresses": addresses,
        "nodePortAddresses": dice.choice(([], [], ["10.0.0.0/8"], ["192.168.0.0/16", "fd00::/8"])),
        "scheduler": dice.choice(("", "rr", "sed", "mh")),
        "gates": {"AllowServiceExternalIPs": dice.random() < 0.9},
        "services": [],
        "slices": [],
    }
    for number in range(1, dice.randint(2, 14)):
        service = _service(dice, number)
        world["services"].append(service)
        world["slices"] += _slices(dice, number, service)
    return world


def read(world: dict[str, Any]) -> tuple[Any, Where, frozenset[Any]]:
    """What amigen reads of it: Service ports, the node, its addresses."""
    features = ProxyFeatures.of((1, 37), world["gates"])
    own = frozenset(address for text in world["addresses"] if (address := read_address(text)))
    return read_services(world["services"], world["slices"], features), Where(node="node-a", zone=world["zone"]), own


def _maybe(dice: random.Random, chance: float, **fields: Any) -> dict[str, Any]:
    return fields if dice.random() < chance else {}


def _service(dice: random.Random, number: int) -> dict[str, Any]:
    families = dice.choice((["IPv4"], ["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]))
    ips = [f"10.96.0.{number}" if one == "IPv4" else f"fd00:96::{number:x}" for one in families]
    kind = dice.choice(("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"))
    ports = []
    for index in range(dice.choice((1, 1, 2, 3))):
        port = {"name": f"p{index}", "protocol": dice.choice(("TCP", "UDP", "SCTP")), "port": 80 + index}
        if kind != "ClusterIP" and dice.random() < 0.9:
            port["nodePort"] = 30000 + number * 8 + index
        ports.append(port)
    if len(ports) == 1:
        ports[0]["name"] = ""
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": ips[0],
        "clusterIPs": ips,
        "ipFamilies": families,
        "ports": ports,
    }
    if dice.random() < 0.03:
        spec |= {"clusterIP": "None", "clusterIPs": ["None"]}
    for key in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if policy := dice.choice(POLICIES):
            spec[key] = policy
    if dice.random() < 0.3:
        spec |= {"sessionAffinity": "ClientIP"}
        spec |= {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": dice.choice((1, 60, 10800))}}}
    if dice.random() < 0.4:
        odd = ("nonsense", "", f"192.0.002.{number + 20:03}", f"::ffff:192.0.2.{number + 60}")
        wanted = (f"192.0.2.{number}", f"2001:db8::{number:x}", dice.choice(odd))
        spec["externalIPs"] = dice.sample(wanted, dice.randint(1, 3))
    service: dict[str, Any] = {"metadata": {"name": f"s{number}", "namespace": "default"}, "spec": spec}
    labels = _maybe(dice, 0.04, **{"service.kubernetes.io/service-proxy-name": "other"})
    labels |= _maybe(dice, 0.04, **{"service.kubernetes.io/headless": ""})
    service["metadata"] |= {"labels": labels} if labels else {}
    if kind == "LoadBalancer":
        _balance(dice, number, service)
    return service


def _balance(dice: random.Random, number: int, service: dict[str, Any]) -> None:
    ingress: list[dict[str, Any]] = [{"hostname": "lb.example"}]
    ingress.append({"ip": f"198.51.100.{number}"} | _maybe(dice, 0.3, ipMode=dice.choice(("VIP", "Proxy"))))
    ingress.append({"ip": f"2001:db8:1::{number:x}"})
    if dice.random() < 0.2 and (external := service["spec"].get("externalIPs")) and read_address(external[0]):
        ingress.append({"ip": external[0]})  # as MetalLB's users write it: the same address twice
    service["status"] = {"loadBalancer": {"ingress": dice.sample(ingress, dice.randint(0, len(ingress)))}}
    if dice.random() < 0.4:
        ranges = dice.sample(("10.0.0.0/8", " 192.168.1.0/24 ", "fd00::/8", "0.0.0.0/0", "nonsense"), 2)
        service["spec"]["loadBalancerSourceRanges"] = ranges
    service["spec"]["healthCheckNodePort"] = 31900 + number


def _slices(dice: random.Random, number: int, service: dict[str, Any]) -> list[dict[str, Any]]:
    hinted = dice.choice((0.0, 0.0, 0.9, 1.0))
    slices: list[dict[str, Any]] = []
    for index in range(dice.choice((0, 1, 1, 2, 3))):
        kind = dice.choice(("IPv4", "IPv4", "IPv6", "FQDN"))
        labels = {"kubernetes.io/service-name": service["metadata"]["name"]}
        labels |= _maybe(dice, 0.04, **{"service.kubernetes.io/headless": ""})
        ports = [
            {"name": port["name"], "protocol": port["protocol"]} | _maybe(dice, 0.95, port=8080 + port["port"])
            for port in service["spec"]["ports"]
            if dice.random() < 0.95
        ]
        slices.append(
            {
                "metadata": {"name": f"s{number}-{index}", "namespace": "default", "labels": labels},
                "addressType": kind,
                "ports": ports,
                "endpoints": [_endpoint(dice, kind, number, index, one, hinted) for one in range(dice.randint(0, 4))],
            }
        )
    if len(slices) > 1 and slices[0]["addressType"] == slices[1]["addressType"] and slices[0]["endpoints"]:
        # A pod that ends beside a new one that has its address.
        again = slices[0]["endpoints"][0]
        if not (again.get("conditions") or {}).get("terminating"):
            ending = {"ready": False, "serving": True, "terminating": True}
            slices[1]["endpoints"].append({"addresses": again["addresses"], "conditions": ending})
    return slices


def _endpoint(dice: random.Random, kind: str, service: int, slice_: int, number: int, hinted: float) -> dict[str, Any]:
    last = service * 16 + slice_ * 5 + number
    addresses = {"IPv4": f"10.244.1.{last}", "IPv6": f"fd00:244::{last:x}", "FQDN": "pod.example"}
    conditions: dict[str, bool] = {}
    for name, true in (("ready", 0.7), ("serving", 0.7), ("terminating", 0.3)):
        if dice.random() < 0.8:
            conditions[name] = dice.random() < true
    endpoint: dict[str, Any] = {"addresses": [addresses[kind]], "conditions": conditions}
    if node := dice.choice(NODES):
        endpoint["nodeName"] = node
    hints: dict[str, Any] = {}
    if dice.random() < hinted:
        hints["forZones"] = [{"name": one} for one in dice.sample(ZONES, dice.choice((1, 1, 2)))]
    if dice.random() < hinted / 2:
        hints["forNodes"] = [{"name": dice.choice(("node-a", "node-b"))}]
    return endpoint | ({"hints": hints} if hints else {})
