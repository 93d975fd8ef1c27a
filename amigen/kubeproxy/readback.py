"""The mode that kube-proxy really runs in, node by node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from amigen.base.errors import CouldNotCheckError, InputError
from amigen.connections.model import Connection
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy.daemonset import NAME, Node, Pod
from amigen.kubeproxy.node_facts import gather
from amigen.kubernetes.cluster import Cluster
from amigen.kubernetes.kinds import NAMESPACE

# "Using ipvs Proxier" (pkg/proxy/ipvs/proxier.go, cmd/kube-proxy/app/server_linux.go); the last one counts.
_LOG_LINE = re.compile(r"Using (ipvs|iptables|nftables) [Pp]rox")


@dataclass(frozen=True, kw_only=True)
class NodeMode:
    """One node's mode.

    Attributes:
        mode: Empty where nothing says it.
        by: `looked` (on the node), `proxy` (/proxyMode through the API server), `log`; empty with an empty mode.
    """

    node: str
    mode: str
    by: str


def read_modes(
    cluster: Cluster,
    pods: Iterable[Pod],
    nodes: Iterable[Node],
    metrics: str,
    reach: Callable[[Node], Connection] | None,
) -> tuple[NodeMode, ...]:
    """Read the mode of each pod's node, several at a time.

    A kube-proxy that serves its metrics on 127.0.0.1 only (kubeadm's default) is out of reach of the API server; then
    its log says it, as long as the line has not been rotated away.
    """
    by_name = {node.name: node for node in nodes}

    def one(pod: Pod) -> NodeMode:
        node = by_name.get(pod.node)
        return _read(cluster, pod, reach(node) if reach and node else None, metrics)

    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(one, [pod for pod in pods if not pod.ending]))


def _read(cluster: Cluster, pod: Pod, way: Connection | None, metrics: str) -> NodeMode:
    if way is not None:
        try:
            mode = gather(way, metrics).mode
        except (CouldNotCheckError, InputError):
            mode = ""
        if mode:
            return NodeMode(node=pod.node, mode=mode, by="looked")
    base = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod.name}"
    host, _, port = metrics.rpartition(":")
    if host not in ("127.0.0.1", "[::1]", "localhost") and port.isascii() and port.isdigit():
        said = (cluster.text(f"{base}:{port}/proxy/proxyMode") or "").strip()
        if said in PROXY_MODES:
            return NodeMode(node=pod.node, mode=said, by="proxy")
    found = _LOG_LINE.findall(cluster.text(f"{base}/log?container={NAME}&limitBytes=1000000") or "")
    return NodeMode(node=pod.node, mode=found[-1] if found else "", by="log" if found else "")
