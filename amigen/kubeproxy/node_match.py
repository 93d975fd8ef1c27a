"""The Node object of a machine, and what kube-proxy should have there. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from amigen.ipvs.expected import Expected, NodeAddresses, expected
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.services.model import Address, Network, ProxyFeatures, ServicePorts, read_address
from amigen.services.topology import Where


def matching_node(facts: NodeFacts, host: str, nodes: tuple[Node, ...]) -> Node | None:
    """The Node object of a machine: by its host name, else by the address that it was reached by.

    Args:
        host: Where it was looked at; empty: on this machine.
    """
    for same in (_called, _called_shortly):
        found = [node for node in nodes if same(node, facts.host)]
        if len(found) == 1:
            return found[0]
    return next((node for node in nodes if host and _plain(host) in map(_plain, node.addresses)), None)


def _called(node: Node, host: str) -> bool:
    return bool(host) and host in (node.name, node.labels.get("kubernetes.io/hostname"))


def _called_shortly(node: Node, host: str) -> bool:
    """One of the two may be a fully qualified name."""
    names = {node.name, node.labels.get("kubernetes.io/hostname") or node.name}
    return bool(host) and host.split(".")[0] in {name.split(".")[0] for name in names}


def _plain(address: str) -> str:
    """An address as everybody writes it; a host name as it is."""
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        return address.lower()


def wanted_on(
    node: Node | None, ports: ServicePorts, config: ProxyConfig, features: ProxyFeatures, own: frozenset[Address] | None
) -> Expected:
    """What should be on this node.

    Args:
        own: Addresses of the node without those of kube-ipvs0; None: not known.
    """
    return expected(ports, where(node, features), NodeAddresses(own=own, node_ports=_node_port_networks(config, node)))


def where(node: Node | None, features: ProxyFeatures) -> Where:
    """The node as kube-proxy's topology sees it."""
    if node is None:
        return Where(node_hints=features.node_hints)
    zone = node.labels.get("topology.kubernetes.io/zone", "")
    return Where(node=node.name, zone=zone, node_hints=features.node_hints)


def _node_port_networks(config: ProxyConfig, node: Node | None) -> tuple[Network, ...]:
    """`nodePortAddresses` with its keywords replaced (`expandNodePortAddressKeywords` in cmd/kube-proxy/app)."""
    found: list[Network] = []
    for word in config.texts("nodePortAddresses"):
        if word == "primary":
            own = {one.version: one for text in (node.addresses if node else ()) if (one := read_address(text))}
            found += [ip_network(one) for one in own.values() if not one.is_loopback]
            continue
        words = {"localhost": ("127.0.0.0/8", "::1/128"), "all": ("0.0.0.0/0", "::/0")}.get(word, (word,))
        found += [config.network("nodePortAddresses", one) for one in words]
    return tuple(found)
