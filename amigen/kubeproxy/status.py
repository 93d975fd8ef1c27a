"""The proof on a node: what its kernel has of kube-proxy's mode against the cluster, and what ipvs mode has left.

Sources: NewProxier in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37; Documentation/networking/ipvs-sysctl.rst of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from amigen.base.errors import CouldNotCheckError
from amigen.base.words import shortened
from amigen.ipvs.compare import compare
from amigen.ipvs.connections import EXPIRE, judge_connections
from amigen.ipvs.expected import Expected, expected
from amigen.ipvs.model import Table
from amigen.knowledge import IPVS_IPV6_SETS, IPVS_SETS, statement
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.settings import scheduler as valid_scheduler
from amigen.nftables.compare import compare as compare_nft
from amigen.services.difference import Difference, Findings
from amigen.services.model import Address, Network, ProxyFeatures, ServicePorts, read_address
from amigen.services.topology import Where
from amigen.spec.kubelet_values import seconds as seconds_of

_TIMEOUTS = ("tcpTimeout", "tcpFinTimeout", "udpTimeout")
# What strictARP sets.
_ARP = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
_RESTART = "kube-proxy sets it at its start: restart its DaemonSet; something else may have set it since"


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


def judge(facts: NodeFacts, config: ProxyConfig, wanted: Expected, subject: str) -> Findings:
    """Compare a node with the cluster."""
    found = Findings()
    if facts.mode == config.mode:
        found.facts.append(f"/proxyMode says {facts.mode}, as configured")
    else:
        said = f"/proxyMode says {facts.mode}" if facts.mode else "kube-proxy does not answer to /proxyMode"
        why = "kube-proxy does not run, listens elsewhere (metricsBindAddress), or was not restarted"
        found.differs("mode", subject, f"{said}, configured is {config.mode}", why)
    if config.mode != "ipvs":
        _judge_leftovers(found, facts, subject, config.mode)
        if config.mode == "nftables":
            found.extend(judge_nft(facts, wanted.ports, wanted.where))
    elif facts.table is None:
        says = "the node has no IPVS table: the module ip_vs is not loaded"
        why = "kube-proxy cannot run in ipvs mode here; load the modules, or use an image that persists them"
        found.differs("missing-service", "the IPVS table", says, why)
    else:
        found.extend(judge_table(facts.table, config, wanted, bound=facts.bound or frozenset()))
        if facts.connections is not None:
            expires = facts.sysctls.get(EXPIRE) == "1"
            found.extend(judge_connections(facts.connections, facts.table, expires=expires))
        _judge_settings(found, facts, config)
    return found


def _judge_settings(found: Findings, facts: NodeFacts, config: ProxyConfig) -> None:
    """Settings of ipvs mode that did not take effect; what is not known is not judged."""
    for key, seconds in zip(_TIMEOUTS, facts.timeouts or (), strict=False):
        # 0 and nothing leave the kernel's own.
        wanted = int(min(seconds_of(str(config.get(f"ipvs.{key}") or "")), 2**63))
        if wanted and wanted != seconds:
            says = f"ipvs.{key} is {seconds} s in the kernel, the configuration says {wanted} s"
            found.differs("setting", f"ipvs.{key}", says, _RESTART)
    for name, value in _ARP.items() if config.get("ipvs.strictARP") is True else ():
        if facts.sysctls.get(name, value) != value:
            says = f"{name} is {facts.sysctls[name]}, strictARP needs {value}"
            found.differs("setting", name, says, _RESTART)
    if facts.timeouts:
        found.facts.append("timeouts of {} s (TCP), {} s (TCP after FIN), {} s (UDP)".format(*facts.timeouts))


def _judge_leftovers(found: Findings, facts: NodeFacts, subject: str, mode: str) -> None:
    """What ipvs mode has left on a node that uses another one now."""
    clean = f"left over from ipvs mode: {{}}, or replace the node; {statement('kube-proxy-cleanup')}"
    if mode == "nftables":
        clean = (
            "left over from ipvs mode: restart kube-proxy there (it cleans up at each start), else {}, or replace it"
        )
    if facts.bound is not None:
        says = f"kube-ipvs0 is still there with {len(facts.bound)} addresses"
        found.differs("stale-address", f"{subject} kube-ipvs0", says, clean.format("`ip link del kube-ipvs0`"))
    if facts.table is not None and facts.table.services:
        says = f"{len(facts.table.services)} virtual services are still there"
        found.differs("stale-service", f"{subject} IPVS table", says, clean.format("`ipvsadm -C`"))
    if facts.sets & IPVS_SETS:
        sets = sorted(facts.sets & (IPVS_SETS | IPVS_IPV6_SETS))
        says = f"{len(sets)} ipsets of ipvs mode are still there: {shortened(sets, 3)}"
        found.differs("leftover", f"{subject} ipsets", says, clean.format("`ipset destroy NAME` of each"))
    elif left := facts.sets & IPVS_IPV6_SETS:
        found.notes.append(
            f"{len(left)} IPv6 ipsets of ipvs mode are left over, and harmless: {statement('ipvs-cleanup')};"
            " `ipset destroy NAME` of each, or replace the node"
        )
    if all(facts.sysctls.get(name) == value for name, value in _ARP.items()):
        found.notes.append(
            "arp_ignore is 1 and arp_announce is 2, as strictARP of ipvs mode sets them; nothing of kube-proxy needs"
            " that now: set both to 0, or replace the node, unless something else needs it (MetalLB, keepalived)"
        )
    found.right("nothing of ipvs is left over", "mode", "stale-address", "stale-service", "leftover")


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
    zone = node.labels.get("topology.kubernetes.io/zone", "") if node else ""
    where = Where(node=node.name if node else None, zone=zone, node_hints=features.node_hints)
    return expected(ports, where, own, _node_port_networks(config, node))


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
