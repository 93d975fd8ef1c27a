"""The proof on a node: its IPVS table and kube-ipvs0 against the cluster's Services and EndpointSlices."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from amigen.base.errors import CouldNotCheckError
from amigen.ipvs.compare import Comparison, compare
from amigen.ipvs.connections import draining, judge_connections
from amigen.ipvs.expected import Expected, NodeAddresses, expected
from amigen.ipvs.model import Table
from amigen.kubeproxy import kernel_state
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.settings import scheduler as valid_scheduler
from amigen.nftables.compare import compare as compare_nft
from amigen.services.difference import Difference
from amigen.services.model import Address, Network, ProxyFeatures, ServicePorts, read_address
from amigen.services.topology import Where


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """The outcome of one comparison.

    Attributes:
        subject: The node, or the file of a saved listing.
        facts: What is as it should be, in words.
        differences: What is not.
        notes: What is worth knowing and is no difference.
        key: What identifies the node in a watch: how the user named it.
        unseen: Why it could not be looked at; None: it could.
    """

    subject: str
    facts: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    key: str = ""
    unseen: CouldNotCheckError | None = None


def assumed_config(scheduler: str) -> ProxyConfig:
    """The configuration of a kube-proxy in ipvs mode that is not configured by a ConfigMap.

    Raises:
        InputError: Not a scheduler.
    """
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
    return read_config(f"{head}ipvs: {{scheduler: {valid_scheduler(scheduler)}}}\n", "--scheduler")


def judge(
    found: NodeFacts, config: ProxyConfig, wanted: Expected, subject: str, nft: tuple[ServicePorts, Where] | None = None
) -> NodeStatus:
    """Compare a node with the cluster.

    Args:
        wanted: What ipvs mode needs.
        nft: What nftables mode needs: the Service ports, and the node.
    """
    differences: list[Difference] = []
    facts: list[str] = []
    notes = tuple(kernel_state.notes(found, config.mode))
    if found.mode == config.mode:
        facts.append(f"/proxyMode says {found.mode}, as configured")
    else:
        said = f"/proxyMode says {found.mode}" if found.mode else "kube-proxy does not answer to /proxyMode"
        why = "kube-proxy does not run, listens elsewhere (metricsBindAddress), or was not restarted"
        differences.append(Difference("mode", subject, f"{said}, configured is {config.mode}", why))
    if config.mode != "ipvs":
        differences.extend(kernel_state.orphans(found, subject, config.mode))
        facts += [] if len(differences) else ["nothing of ipvs is left over"]
        if config.mode == "nftables" and nft is not None:
            rules = judge_nft(found, *nft, subject)
            facts += rules.facts
            differences += rules.differences
    elif found.table is None:
        says = "the node has no IPVS table: the module ip_vs is not loaded"
        why = "kube-proxy cannot run in ipvs mode here; load the modules, or use an image that persists them"
        differences.append(Difference("missing-service", "the IPVS table", says, why))
    else:
        table = judge_table(found.table, config, wanted, subject, bound=found.bound or frozenset())
        facts += table.facts
        differences += [*table.differences, *kernel_state.judge_settings(found, config)]
        if found.connections is not None:
            differences += judge_connections(found.connections, found.table, expires=kernel_state.expires(found))
            many, servers = draining(found.connections, found.table)
            facts.append(f"{found.connections.total} connections, {many} of them on {servers} draining servers")
        if found.timeouts:
            facts.append("timeouts of {} s (TCP), {} s (TCP after FIN), {} s (UDP)".format(*found.timeouts))
    return NodeStatus(subject=subject, facts=tuple(facts), differences=tuple(differences), notes=notes)


def judge_nft(found: NodeFacts, ports: ServicePorts, where: Where, subject: str) -> NodeStatus:
    """Compare kube-proxy's nftables table with the cluster."""
    if found.nftables is None:
        says = "the node has no nftables table kube-proxy"
        why = "kube-proxy did not create it (is it running, and in nftables mode?)"
        if not found.nft:
            says = "the nftables table cannot be read: the node has no nft"
            why = "install nftables on the node; kube-proxy has its own nft in its image"
        missing = Difference("missing-service", "the nftables table", says, why)
        return NodeStatus(subject=subject, differences=(missing,))
    result = compare_nft(found.nftables, ports, where)
    places = ", ".join(f"{number} {reach}" for reach, number in result.places.items())
    facts = _right(
        {one.kind for one in result.differences},
        (
            {"missing-service", "refused"},
            f"{result.addresses} of {result.addresses} Service addresses are in the nftables table ({places})",
        ),
        ({"missing-server", "missing-service"}, f"{result.servers} of {result.servers} endpoints are reached"),
        ({"stale-server", "stale-service", "stale-address"}, "nothing is stale"),
    )
    return NodeStatus(subject=subject, facts=facts, differences=result.differences)


def _right(kinds: set[str], *candidates: tuple[set[str], str]) -> tuple[str, ...]:
    """What was found to be right: each text that no difference of its kinds contradicts."""
    return tuple(text for against, text in candidates if not kinds & against)


def judge_table(
    table: Table, config: ProxyConfig, wanted: Expected, subject: str, *, bound: frozenset[Any] | None = None
) -> NodeStatus:
    """An IPVS table alone, such as a saved listing."""
    excluded = [config.network("ipvs.excludeCIDRs", text) for text in config.texts("ipvs.excludeCIDRs")]
    found = compare(table, wanted, scheduler=config.scheduler, bound=bound, excluded=excluded)
    facts = _facts(table, config, wanted, found, bound)
    return NodeStatus(subject=subject, facts=facts, differences=tuple(found.differences))


def _facts(table: Table, config: ProxyConfig, wanted: Expected, found: Comparison, bound: object) -> tuple[str, ...]:
    """What was found to be right, counted; a line is there only if nothing contradicts it."""
    # Of a listing that hides some services, it cannot be said that none is missing or stale.
    unknown: set[str] = {"missing-service", "stale-service"} if found.unjudged else set()
    kinds = unknown | {one.kind for one in found.differences}
    servers = sum(len(one.choice.required) for one in wanted.services)
    number = len(wanted.services)
    kinds_of = ", ".join(f"{many} {reach}" for reach, many in wanted.count().items())
    served = f"{number} of {number} Service addresses have a virtual service ({kinds_of})"
    ended = f"{servers} of {servers} endpoints that this node uses are real servers"
    size = f", connection table of {table.size}" if table.size else ""
    head = (
        f"{len(table.services)} virtual services, {sum(len(one.servers) for one in table.services)} real servers{size}"
    )
    if found.unjudged:
        head += f"; {len(found.unjudged)} Service addresses may be behind names that say nothing, and were not judged"
    dns = (
        "the DNS service and its endpoints are there"
        if wanted.dns
        else "no DNS service in the cluster (by the labels of CoreDNS, or at the tenth address): not judged"
    )
    addresses = f"kube-ipvs0 has all {len(wanted.addresses)} addresses and no other"
    return _right(
        kinds,
        (set(), head),
        ({"api-service", "missing-service"}, "the API service and its endpoints are there"),
        ({"dns-service", "missing-service"}, dns),
        ({"missing-service"}, served),
        ({"scheduler", "missing-service"}, f"each with the scheduler {config.scheduler}"),
        ({"missing-server", "weight", "missing-service"}, ended),
        ({"stale-server", "stale-service", "unreadable"}, "nothing is stale"),
        *([({"missing-address", "stale-address"}, addresses)] if bound is not None else []),
    )


def matching_node(facts: NodeFacts, host: str, nodes: tuple[Node, ...]) -> Node | None:
    """The Node object of a machine: by its host name, else by the address that it was reached by.

    Args:
        host: Where it was looked at; empty: on this machine.
    """
    # One of the two may be a fully qualified name.
    for form in (str, lambda name: name.split(".")[0]):
        found = [node for node in nodes if facts.host and form(facts.host) in map(form, _names(node))]
        if len(found) == 1:
            return found[0]
    return next((node for node in nodes if host and _plain(host) in map(_plain, node.addresses)), None)


def _names(node: Node) -> tuple[str, str]:
    return node.name, node.labels.get("kubernetes.io/hostname") or node.name


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
