"""The proof on a node: its IPVS table and kube-ipvs0 against the cluster's Services and EndpointSlices."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from amigen.base.errors import CouldNotCheckError
from amigen.ipvs.compare import compare
from amigen.ipvs.connections import EXPIRE, judge_connections
from amigen.ipvs.expected import Expected, NodeAddresses, expected
from amigen.ipvs.model import Table
from amigen.kubeproxy import kernel_state
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.settings import scheduler as valid_scheduler
from amigen.nftables.compare import compare as compare_nft
from amigen.services.difference import Difference, Findings
from amigen.services.model import Address, Network, ProxyFeatures, ServicePorts, read_address
from amigen.services.topology import Where


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """The outcome of one comparison.

    Attributes:
        subject: What messages call the node, or the saved listing.
        key: What identifies it in a watch: how the user named it.
        found: What was found; why it could not be looked at.
    """

    subject: str
    key: str
    found: Findings | CouldNotCheckError

    @property
    def differences(self) -> list[Difference]:
        """Those that were found; none where it could not be looked at."""
        return self.found.differences if isinstance(self.found, Findings) else []


def assumed_config(scheduler: str) -> ProxyConfig:
    """The configuration of a kube-proxy in ipvs mode that is not configured by a ConfigMap.

    Raises:
        InputError: Not a scheduler.
    """
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
    return read_config(f"{head}ipvs: {{scheduler: {valid_scheduler(scheduler)}}}\n", "--scheduler")


def judge(
    facts: NodeFacts, config: ProxyConfig, wanted: Expected, subject: str, nft: tuple[ServicePorts, Where] | None = None
) -> Findings:
    """Compare a node with the cluster.

    Args:
        wanted: What ipvs mode needs.
        nft: What nftables mode needs: the Service ports, and the node.
    """
    found = Findings()
    if facts.mode == config.mode:
        found.facts.append(f"/proxyMode says {facts.mode}, as configured")
    else:
        said = f"/proxyMode says {facts.mode}" if facts.mode else "kube-proxy does not answer to /proxyMode"
        why = "kube-proxy does not run, listens elsewhere (metricsBindAddress), or was not restarted"
        found.differs("mode", subject, f"{said}, configured is {config.mode}", why)
    if config.mode != "ipvs":
        kernel_state.judge_leftovers(found, facts, subject, config.mode)
        if config.mode == "nftables" and nft is not None:
            found.extend(judge_nft(facts, *nft))
    elif facts.table is None:
        says = "the node has no IPVS table: the module ip_vs is not loaded"
        why = "kube-proxy cannot run in ipvs mode here; load the modules, or use an image that persists them"
        found.differs("missing-service", "the IPVS table", says, why)
    else:
        found.extend(judge_table(facts.table, config, wanted, bound=facts.bound or frozenset()))
        if facts.connections is not None:
            expires = facts.sysctls.get(EXPIRE) == "1"
            found.extend(judge_connections(facts.connections, facts.table, expires=expires))
        kernel_state.judge_settings(found, facts, config)
    return found


def judge_nft(facts: NodeFacts, ports: ServicePorts, where: Where) -> Findings:
    """Compare kube-proxy's nftables table with the cluster."""
    if facts.nftables is not None:
        return compare_nft(facts.nftables, ports, where)
    says = "the node has no nftables table kube-proxy"
    why = "kube-proxy did not create it (is it running, and in nftables mode?)"
    if not facts.nft:
        says = "the nftables table cannot be read: the node has no nft"
        why = "install nftables on the node; kube-proxy has its own nft in its image"
    found = Findings()
    found.differs("missing-service", "the nftables table", says, why)
    return found


def judge_table(
    table: Table, config: ProxyConfig, wanted: Expected, *, bound: frozenset[Address] | None = None
) -> Findings:
    """An IPVS table alone, such as a saved listing."""
    excluded = [config.network("ipvs.excludeCIDRs", text) for text in config.texts("ipvs.excludeCIDRs")]
    return compare(table, wanted, scheduler=config.scheduler, bound=bound, excluded=excluded)


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
