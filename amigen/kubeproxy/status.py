"""The proof on a node: its IPVS table and kube-ipvs0 against the cluster's Services and EndpointSlices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from amigen.base.errors import CouldNotCheckError
from amigen.ipvs.compare import Comparison, compare
from amigen.ipvs.connections import draining, judge_connections
from amigen.ipvs.expected import Expected
from amigen.ipvs.model import Table
from amigen.knowledge import version_tuple
from amigen.kubeproxy import kernel_state
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.settings import scheduler as valid_scheduler
from amigen.kubernetes.cluster import Cluster
from amigen.kubernetes.kinds import ENDPOINT_SLICES, SERVICES
from amigen.nftables.compare import compare as compare_nft
from amigen.services.model import Difference, Kind, Network, ProxyFeatures, ServicePorts
from amigen.services.objects import read_services
from amigen.services.topology import Where


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """The outcome of one comparison.

    Attributes:
        subject: The node, or the file of a saved listing.
        facts: What is as it should be, in words.
        differences: What is not.
        notes: What is worth knowing and is no difference.
        target: How the user named it; a watch knows it again by that.
        unseen: Why it could not be looked at; None: it could.
    """

    subject: str
    facts: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    target: str = ""
    unseen: CouldNotCheckError | None = None

    @property
    def key(self) -> str:
        """What identifies the node in a watch."""
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
        differences.append(
            Difference(
                kind="mode",
                subject=subject,
                says=f"{said}, configured is {config.mode}",
                why="kube-proxy does not run, listens elsewhere (metricsBindAddress), or was not restarted",
            )
        )
    if config.mode != "ipvs":
        differences.extend(kernel_state.orphans(found, subject, config.mode))
        facts += [] if len(differences) else ["nothing of ipvs is left over"]
        if config.mode == "nftables" and nft is not None:
            rules = judge_nft(found, *nft, subject)
            facts += rules.facts
            differences += rules.differences
    elif found.table is None:
        differences.append(
            Difference(
                kind="missing-service",
                subject="the IPVS table",
                says="the node has no IPVS table: the module ip_vs is not loaded",
                why="kube-proxy cannot run in ipvs mode here; load the modules, or use an image that persists them",
            )
        )
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
        missing = Difference(
            kind="missing-service",
            subject="the nftables table",
            says="the node has no nftables table kube-proxy"
            if found.nft
            else "the nftables table cannot be read: the node has no nft",
            why="kube-proxy did not create it (is it running, and in nftables mode?)"
            if found.nft
            else "install nftables on the node; kube-proxy has its own nft in its image",
        )
        return NodeStatus(subject=subject, differences=(missing,))
    result = compare_nft(found.nftables, ports, where)
    kinds = {one.kind for one in result.differences}
    places = ", ".join(f"{number} {reach}" for reach, number in result.places.items())
    candidates: list[tuple[set[str], str]] = [
        (
            {"missing-service", "refused"},
            f"{result.addresses} of {result.addresses} Service addresses are in the nftables table ({places})",
        ),
        ({"missing-server", "missing-service"}, f"{result.servers} of {result.servers} endpoints are reached"),
        ({"stale-server", "stale-service", "stale-address"}, "nothing is stale"),
    ]
    return NodeStatus(
        subject=subject,
        facts=tuple(text for against, text in candidates if not kinds & against),
        differences=result.differences,
    )


def judge_table(
    table: Table, config: ProxyConfig, wanted: Expected, subject: str, *, bound: frozenset[Any] | None = None
) -> NodeStatus:
    """An IPVS table alone, such as a saved listing."""
    found = compare(table, wanted, scheduler=config.scheduler, bound=bound, excluded=_excluded(config))
    facts = _facts(table, config, wanted, found, bound)
    return NodeStatus(subject=subject, facts=facts, differences=tuple(found.differences))


def _excluded(config: ProxyConfig) -> tuple[Network, ...]:
    return tuple(config.network("ipvs.excludeCIDRs", text) for text in config.texts("ipvs.excludeCIDRs"))


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
        ({"missing-service"}, served),
        ({"scheduler", "missing-service"}, f"each with the scheduler {config.scheduler}"),
        ({"missing-server", "weight", "missing-service"}, ended),
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


def as_json(status: NodeStatus, lasted: Mapping[tuple[str, Difference], float]) -> dict[str, Any]:
    """For `--output json`."""
    return {
        "subject": status.subject,
        "unseen": status.unseen.message if status.unseen else None,
        "facts": list(status.facts),
        "notes": list(status.notes),
        "differences": [
            {**asdict(one), "lastedSeconds": round(lasted.get((status.key, one), 0.0), 1)} for one in status.differences
        ],
    }
