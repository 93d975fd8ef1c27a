"""Read all that a plan needs from the cluster, and the mode that each kube-proxy really runs in; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError, KubernetesError
from amigen.base.interrupt import ProgramPool
from amigen.connections.model import Connection
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Addon
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.daemonset import ConfigSource, Node, Pod
from amigen.kubeproxy.detect import Managed, detect
from amigen.kubeproxy.node_facts import DEFAULT_METRICS, NodeFacts, NodeMode, gather, gather_all
from amigen.kubeproxy.versions import minor_version, patch_version
from amigen.kubernetes.cluster import Cluster, NotFoundError
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, NAMESPACE, NODES, PODS

# The way to a node.
Connector: TypeAlias = Callable[[Node], Connection]
# "Using ipvs Proxier" (pkg/proxy/ipvs/proxier.go, cmd/kube-proxy/app/server_linux.go); the last one counts.
_LOG_LINE = re.compile(r"Using (ipvs|iptables|nftables) [Pp]rox")


@dataclass(frozen=True, kw_only=True)
class KubeProxy:
    """What decides in which modes kube-proxy can run, and what changes with them.

    Attributes:
        config: The KubeProxyConfiguration in force.
        proxy_version: `MAJOR.MINOR` of its image, or the server's where the tag is silent.
        proxy_patch: Its patch version; None: not known.
        nodes: Where it runs; empty: not known.
        gathered: Facts by node; a text says why there are none.
    """

    config: ProxyConfig = field(repr=False)
    proxy_version: str
    proxy_patch: int | None = None
    nodes: tuple[Node, ...] = ()
    gathered: Mapping[str, NodeFacts | str] = field(default_factory=dict)

    @property
    def metrics(self) -> str:
        """kube-proxy's metrics address, which also answers `/proxyMode`."""
        return str(self.config.get("metricsBindAddress") or DEFAULT_METRICS)


@dataclass(frozen=True, kw_only=True)
class Observed(KubeProxy):
    """kube-proxy of a cluster as it is.

    Attributes:
        cluster, reach: By which it was observed, and can be asked again; `reach` is the way to a node, None: through
            the API server.
        version: The API server's.
    """

    cluster: Cluster = field(repr=False)
    reach: Connector | None = None
    version: str
    daemon_set: Mapping[str, Any] = field(repr=False)
    config_map: Mapping[str, Any] = field(repr=False)
    source: ConfigSource
    managed: Managed
    pods: tuple[Pod, ...]

    @property
    def pods_behind(self) -> tuple[Pod, ...]:
        """Pods that have not read the configuration, or that a restart after it has not brought up."""
        _, digest = daemonset.restarted_for(self.daemon_set)
        begun = digest == daemonset.digest(self.config.text)
        stale = self.stale_pods
        return tuple(pod for pod in self.pods if pod in stale or (begun and not pod.ready))

    @property
    def held(self) -> bool:
        """Whether an unfinished run of amigen still holds the DaemonSet's update strategy."""
        return daemonset.kept_strategy(self.daemon_set) is not None

    @property
    def stale_pods(self) -> tuple[Pod, ...]:
        """Pods that have not read the configuration."""
        changed = daemonset.changed_at(self.config_map)
        return tuple(pod for pod in self.pods if daemonset.is_stale(pod, self.config.text, changed))


def observe(
    cluster: Cluster,
    addon: Addon | None,
    *,
    strict: bool = False,
    pool_label: str = "",
    reach: Connector | None = None,
) -> Observed:
    """Read everything.

    Args:
        addon: The add-on's calls; None where no EKS cluster is known.
        strict: True where the user named the EKS cluster: then EKS must answer.
        reach: The way to a node; None: nodes are not asked.

    Raises:
        KubernetesError: No kube-proxy as amigen knows it, no rights, no answer.
        InputError: A configuration that cannot be parsed.
    """
    version = cluster.version()
    daemon_set = read_daemon_set(cluster)
    source, config_map = _config_map(cluster, daemon_set)
    config = embedded(config_map, source)
    managed = detect(addon, config_map, server=cluster.server, strict=strict)
    nodes = daemonset.nodes(cluster.list(NODES), pool_label)
    tag = daemonset.proxy_version(daemon_set)
    observed = Observed(
        cluster=cluster,
        reach=reach,
        version=minor_version(version, "the server's version"),
        proxy_version=minor_version(tag or version, "the version of kube-proxy's image"),
        proxy_patch=patch_version(tag),
        daemon_set=daemon_set,
        config_map=config_map,
        source=source,
        config=config,
        managed=managed,
        pods=daemonset.pods(cluster.list(PODS, labels=daemonset.selector(daemon_set)), daemon_set),
        nodes=nodes,
    )
    if reach is None:
        return observed
    ways = [reach(node) for node in nodes]
    if len(nodes) > 1 and len({one.target.text for one in ways}) == 1:
        raise InputError(
            f"--look {ways[0].target.text}: one machine cannot stand for {len(nodes)} nodes",
            "put {address} or {name} as the placeholder of each node, such as ssh://ec2-user@{address}",
        )
    seen = zip(nodes, gather_all(ways, observed.metrics), strict=True)
    gathered = {node.name: one.message if isinstance(one, AmigenError) else one for node, one in seen}
    return replace(observed, gathered=gathered)


def read_daemon_set(cluster: Cluster) -> dict[str, Any]:
    """kube-proxy's DaemonSet."""
    try:
        return cluster.get(DAEMON_SETS, daemonset.NAME)
    except NotFoundError:
        raise KubernetesError(
            f"no DaemonSet {daemonset.NAME} in {NAMESPACE}: this cluster has no kube-proxy that amigen could change",
            "Cilium may replace it, k3s has it built in, and GKE runs it as static pods",
        ) from None


def _config_map(cluster: Cluster, daemon_set: Mapping[str, Any]) -> tuple[ConfigSource, dict[str, Any]]:
    """The ConfigMap that has kube-proxy's configuration."""
    *others, last = daemonset.config_sources(daemon_set)
    for source in others:
        try:
            found = cluster.get(CONFIG_MAPS, source.name)
        except NotFoundError:
            continue
        if source.key in (found.get("data") or {}):
            return source, found
    return last, cluster.get(CONFIG_MAPS, last.name)


def embedded(config_map: Mapping[str, Any], source: ConfigSource) -> ProxyConfig:
    """The configuration in the ConfigMap.

    Raises:
        AmigenError: The key is not there, or its text cannot be parsed.
    """
    where = f"configmap {NAMESPACE}/{source.name}, key {source.key}"
    text = (config_map.get("data") or {}).get(source.key)
    if text is None:
        raise InputError(f"{where}: no such key", f"it has: {', '.join(config_map.get('data') or {}) or 'none'}")
    return read_config(text, where)


def read_modes(observed: Observed, pods: Iterable[Pod]) -> tuple[NodeMode, ...]:
    """Read the mode of each pod's node, several at a time.

    A kube-proxy that serves its metrics on 127.0.0.1 only (kubeadm's default) is out of reach of the API server; then
    its log says it, as long as the line has not been rotated away.
    """
    by_name = {node.name: node for node in observed.nodes}

    def one(pod: Pod) -> NodeMode:
        node = by_name.get(pod.node)
        way = observed.reach(node) if observed.reach and node else None
        return _read_mode(observed.cluster, pod, way, observed.metrics)

    with ProgramPool(max_workers=8) as pool:
        return tuple(pool.map(one, [pod for pod in pods if not pod.ending]))


def _read_mode(cluster: Cluster, pod: Pod, way: Connection | None, metrics: str) -> NodeMode:
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
    found = _LOG_LINE.findall(cluster.text(f"{base}/log?container={daemonset.NAME}&limitBytes=1000000") or "")
    return NodeMode(node=pod.node, mode=found[-1] if found else "", by="log" if found else "")
