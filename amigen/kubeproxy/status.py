"""The proof on a node: its IPVS table and kube-ipvs0 against the cluster's Services and EndpointSlices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from amigen.base.errors import CouldNotCheckError, InputError
from amigen.ipvs.compare import Comparison, comparison
from amigen.ipvs.connections import draining, judge_connections
from amigen.ipvs.expected import Expected, NodeAddresses, expected
from amigen.ipvs.model import Table
from amigen.knowledge import version_tuple
from amigen.kubeproxy.cluster import Cluster
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.kinds import ENDPOINT_SLICES, SERVICES
from amigen.kubeproxy.look import Snapshot
from amigen.kubeproxy.settings import scheduler as valid_scheduler
from amigen.nftables.compare import compare as compare_nft
from amigen.services.addresses import Address, read_address
from amigen.services.difference import Difference, Kind
from amigen.services.objects import Network, ProxyFeatures, ServicePorts, read_services
from amigen.services.topology import Where


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """What one look found.

    Attributes:
        subject: The node, or the file of a saved listing.
        facts: What is as it should be, in words.
        differences: What is not.
        target: How the user named it; a watch knows it again by that.
        unseen: Why it could not be looked at; None: it could.
    """

    subject: str
    facts: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    target: str = ""
    unseen: CouldNotCheckError | None = None

    @property
    def key(self) -> str:
        """What stays the same from look to look."""
        return self.target or self.subject


# What cannot be said to be right of a listing that hides some services.
_NEEDS_ALL: frozenset[Kind] = frozenset({"missing-service", "stale-service"})


def service_ports(cluster: Cluster, features: ProxyFeatures) -> ServicePorts:
    """All Service ports of the cluster that kube-proxy handles."""
    services = list(cluster.list(SERVICES, namespace=""))
    return read_services(services, cluster.list(ENDPOINT_SLICES, namespace=""), features)


def assumed_config(scheduler: str) -> ProxyConfig:
    """The configuration of a kube-proxy in ipvs mode that is not configured by a ConfigMap.

    Raises:
        InputError: Not a scheduler.
    """
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
    return read_config(f"{head}ipvs: {{scheduler: {valid_scheduler(scheduler)}}}\n", "--scheduler")


def features_of(config: ProxyConfig, version: str) -> ProxyFeatures:
    """What this kube-proxy does by its version and its feature gates."""
    gates = config.get("featureGates")
    return ProxyFeatures.of(version_tuple(version), gates if isinstance(gates, Mapping) else {})


def judge(
    snapshot: Snapshot,
    config: ProxyConfig,
    wanted: Expected,
    subject: str,
    nft: tuple[ServicePorts, Where] | None = None,
) -> NodeStatus:
    """Compare a node with the cluster.

    Args:
        snapshot: What was seen on the node.
        config: kube-proxy's configuration.
        wanted: What ipvs mode needs.
        subject: What messages call the node.
        nft: What nftables mode needs: the Service ports, and the node.
    """
    differences: list[Difference] = []
    facts: list[str] = []
    if snapshot.mode == config.mode:
        facts.append(f"/proxyMode says {snapshot.mode}, as configured")
    else:
        said = f"/proxyMode says {snapshot.mode}" if snapshot.mode else "kube-proxy does not answer to /proxyMode"
        differences.append(
            Difference(
                kind="mode",
                subject=subject,
                says=f"{said}, configured is {config.mode}",
                why="kube-proxy does not run, listens elsewhere (metricsBindAddress), or was not restarted",
            )
        )
    if config.mode != "ipvs":
        differences.extend(_left_over(snapshot, subject))
        facts += [] if len(differences) else ["nothing of ipvs is left over"]
        if config.mode == "nftables" and nft is not None:
            rules = judge_nft(snapshot, *nft, subject)
            facts += rules.facts
            differences += rules.differences
        return NodeStatus(subject=subject, facts=tuple(facts), differences=tuple(differences))
    if snapshot.table is None:
        differences.append(
            Difference(
                kind="missing-service",
                subject="the IPVS table",
                says="the node has no IPVS table: the module ip_vs is not loaded",
                why="kube-proxy cannot run in ipvs mode here; load the modules, or use an image that persists them",
            )
        )
        return NodeStatus(subject=subject, facts=tuple(facts), differences=tuple(differences))
    table = judge_table(snapshot.table, config, wanted, subject, bound=snapshot.bound or frozenset())
    facts += table.facts
    differences += table.differences
    if snapshot.connections is not None:
        differences += judge_connections(snapshot.connections, snapshot.table)
        many, servers = draining(snapshot.connections, snapshot.table)
        facts.append(f"{snapshot.connections.total} connections, {many} of them on {servers} draining servers")
    return NodeStatus(subject=subject, facts=tuple(facts), differences=tuple(differences))


def judge_nft(snapshot: Snapshot, ports: ServicePorts, where: Where, subject: str) -> NodeStatus:
    """Compare kube-proxy's nftables table with the cluster."""
    if snapshot.nftables is None:
        missing = Difference(
            kind="missing-service",
            subject="the nftables table",
            says="the node has no nftables table kube-proxy"
            if snapshot.nft
            else "the nftables table cannot be read: the node has no nft",
            why="kube-proxy did not create it (is it running, and in nftables mode?)"
            if snapshot.nft
            else "install nftables on the node; kube-proxy has its own nft in its image",
        )
        return NodeStatus(subject=subject, differences=(missing,))
    found = compare_nft(snapshot.nftables, ports, where)
    kinds = {one.kind for one in found.differences}
    places = ", ".join(f"{number} {reach}" for reach, number in found.places.items())
    candidates: list[tuple[set[str], str]] = [
        (
            {"missing-service", "refused"},
            f"{found.addresses} of {found.addresses} Service addresses are in the nftables table ({places})",
        ),
        ({"missing-server", "missing-service"}, f"{found.servers} of {found.servers} endpoints are reached"),
        ({"stale-server", "stale-service", "stale-address"}, "nothing is stale"),
    ]
    return NodeStatus(
        subject=subject,
        facts=tuple(text for against, text in candidates if not kinds & against),
        differences=found.differences,
    )


def judge_table(
    table: Table, config: ProxyConfig, wanted: Expected, subject: str, *, bound: frozenset[Any] | None = None
) -> NodeStatus:
    """An IPVS table alone, such as a saved listing."""
    found = comparison(table, wanted, scheduler=config.scheduler, bound=bound, excluded=_excluded(config))
    facts = _facts(table, config, wanted, found, bound)
    return NodeStatus(subject=subject, facts=facts, differences=found.differences)


def _excluded(config: ProxyConfig) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(text, strict=False) for text in config.get("ipvs.excludeCIDRs") or ())
    except (ValueError, TypeError):
        raise InputError(f"{config.where}: ipvs.excludeCIDRs is not a list of CIDRs") from None


def _facts(table: Table, config: ProxyConfig, wanted: Expected, found: Comparison, bound: object) -> tuple[str, ...]:
    """What was found to be right, counted; a line is there only if nothing contradicts it."""
    kinds = {one.kind for one in found.differences}
    if found.unjudged:
        kinds |= _NEEDS_ALL
    servers = sum(len(one.choice.required) for one in wanted.services)
    number = len(wanted.services)
    kinds_of = ", ".join(f"{many} {reach}" for reach, many in wanted.count().items())
    served = f"{number} of {number} Service addresses have a virtual service ({kinds_of})"
    ended = f"{servers} of {servers} endpoints that this node uses are real servers"
    candidates: list[tuple[set[str], str]] = [
        ({"api-service", "missing-service"}, "the API service and its endpoints are there"),
        (
            {"dns-service", "missing-service"},
            "the DNS service and its endpoints are there"
            if wanted.dns
            else "no DNS service in the cluster (by the labels of CoreDNS, or at the tenth address): not judged",
        ),
        (
            {"missing-service"},
            served,
        ),
        ({"scheduler", "missing-service"}, f"each with the scheduler {config.scheduler}"),
        (
            {"missing-server", "weight", "missing-service"},
            ended,
        ),
        ({"stale-server", "stale-service", "unreadable"}, "nothing is stale"),
    ]
    if bound is not None:
        candidates.append(
            ({"missing-address", "stale-address"}, f"kube-ipvs0 has all {len(wanted.addresses)} addresses and no other")
        )
    size = f", connection table of {table.size}" if table.size else ""
    head = (
        f"{len(table.services)} virtual services, {sum(len(one.servers) for one in table.services)} real servers{size}"
    )
    if found.unjudged:
        head += f"; {len(found.unjudged)} Service addresses may be behind names that say nothing, and were not judged"
    return (head, *(text for against, text in candidates if not kinds & against))


def _left_over(snapshot: Snapshot, subject: str) -> list[Difference]:
    """What ipvs mode leaves behind on a node that no longer uses it."""
    found = []
    if snapshot.bound is not None:
        found.append(
            Difference(
                kind="stale-address",
                subject=f"{subject} kube-ipvs0",
                says=f"kube-ipvs0 is still there with {len(snapshot.bound)} addresses",
                why="left over from ipvs mode: `kube-proxy --cleanup`, `ip link del kube-ipvs0`, or replace the node",
            )
        )
    if snapshot.table is not None and snapshot.table.services:
        found.append(
            Difference(
                kind="stale-service",
                subject=f"{subject} IPVS table",
                says=f"{len(snapshot.table.services)} virtual services are still there",
                why="left over from ipvs mode: `kube-proxy --cleanup`, `ipvsadm -C`, or replace the node",
            )
        )
    return found


def matching_node(snapshot: Snapshot, host: str, nodes: tuple[Node, ...]) -> Node | None:
    """The Node object of a machine: by its host name, else by the address that it was reached by.

    Args:
        snapshot: What the machine says of itself.
        host: Where it was looked at; empty: on this machine.
        nodes: Those of the cluster.
    """
    for same in (_called, _called_shortly):
        found = [node for node in nodes if same(node, snapshot.host)]
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
        node: The node; None: not known.
        ports: The cluster's.
        config: kube-proxy's configuration.
        features: Of this kube-proxy.
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
    for word in config.get("nodePortAddresses") or ():
        if word == "primary":
            own = {one.version: one for text in (node.addresses if node else ()) if (one := read_address(text))}
            found += [ip_network(one) for one in own.values() if not one.is_loopback]
            continue
        words = {"localhost": ("127.0.0.0/8", "::1/128"), "all": ("0.0.0.0/0", "::/0")}.get(word, (word,))
        try:
            found += [ip_network(one, strict=False) for one in words]
        except (ValueError, TypeError):
            raise InputError(f"{config.where}: nodePortAddresses: {word!r} is not a CIDR or a keyword") from None
    return tuple(found)


def as_json(status: NodeStatus, lasted: Mapping[tuple[str, Difference], float]) -> dict[str, Any]:
    """For `--output json`."""
    return {
        "subject": status.subject,
        "unseen": status.unseen.message if status.unseen else None,
        "facts": list(status.facts),
        "differences": [
            {
                "kind": one.kind,
                "subject": one.subject,
                "says": one.says,
                "why": one.why,
                "lastedSeconds": round(lasted.get((status.key, one), 0.0), 1),
            }
            for one in status.differences
        ],
    }
