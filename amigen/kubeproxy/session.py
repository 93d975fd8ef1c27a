"""One look at a cluster, and one change of it: the clients, made on first use, and what is asked through them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from amigen.base.errors import AmigenError, CouldNotCheckError
from amigen.connections.model import Connection
from amigen.connections.ssh import ssh_words
from amigen.ipvs.model import Table
from amigen.knowledge import version_tuple
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Addon
from amigen.kubeproxy.apply import Executor
from amigen.kubeproxy.change import ChangePlan, ChangeRequest
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.detect import eks_name
from amigen.kubeproxy.node_facts import NodeMode, gather_all, node_at
from amigen.kubeproxy.observe import Connector, KubeProxy, Observed, observe, read_modes
from amigen.kubeproxy.plan import make_plan, plan_rollback
from amigen.kubeproxy.saved import load, newest
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.status import NodeStatus, judge, judge_table, matching_node, wanted_on
from amigen.kubeproxy.versions import minor_version
from amigen.kubernetes.cluster import Cluster, connect
from amigen.kubernetes.kinds import ENDPOINT_SLICES, NODES, SERVICES
from amigen.kubernetes.kubeconfig import IN_CLUSTER
from amigen.services.model import ProxyFeatures
from amigen.services.objects import read_services


@dataclass(kw_only=True)
class Session:
    """A cluster, and how to reach it and its nodes; connects on first use.

    Attributes:
        kubeconfig: File; None: as kubectl finds it.
        context: Of the kubeconfig; None: the current one.
        cluster_name: Name in EKS; None: the one in the kubeconfig.
        region, profile: Of AWS.
        pool_label: Node label that names the pool; empty: those of EKS and Karpenter.
        look: Target by which each node is inspected, with `{address}` and `{name}`; None: through the API server.
        ssh_options: `NAME=VALUE` of ssh_config(5).
        identity: File of the ssh key.
        open_addon: Makes the add-on's calls, for cluster, region (may be empty) and profile: boto3 is imported for EKS
            alone.
    """

    kubeconfig: str | None
    context: str | None
    cluster_name: str | None
    region: str | None
    profile: str | None
    pool_label: str
    look: str | None
    ssh_options: tuple[str, ...]
    identity: str | None
    open_addon: Callable[[str, str, str | None], Addon]

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster of kubeconfig and context."""
        return connect(self.kubeconfig, self.context)

    @cached_property
    def addon(self) -> Addon | None:
        """The add-on's calls; None where no EKS cluster is known, neither by option nor by the kubeconfig."""
        cluster, region = eks_name(self.cluster.name, self.cluster.context)
        cluster, region = self.cluster_name or cluster, self.region or region
        return self.open_addon(cluster, region, self.profile) if cluster else None

    @property
    def _ssh(self) -> tuple[str, ...]:
        return ssh_words(self.ssh_options, self.identity)

    @property
    def reach(self) -> Connector | None:
        """The way to a node by --look; None without it."""
        template = self.look
        if not template:
            return None

        def make(node: Node) -> Connection:
            address = f"[{node.address}]" if ":" in node.address else node.address
            target = template.replace("{address}", address).replace("{name}", node.name)
            return node_at(target, self._ssh)

        return make

    @cached_property
    def observed(self) -> Observed:
        """kube-proxy as it is."""
        return observe(
            self.cluster,
            self.addon,
            strict=bool(self.cluster_name),
            pool_label=self.pool_label,
            reach=self.reach,
        )

    def plan(self, settings: Settings, request: ChangeRequest) -> ChangePlan:
        """The plan of a change."""
        return make_plan(self.observed, settings, request)

    def plan_back(self, request: ChangeRequest, *, saved: Path | None, discard: bool) -> ChangePlan:
        """The plan of a rollback to a saved configuration (None: the newest), with `discard` over later changes too."""
        record = load(saved or newest(self.cluster.name, self.cluster.server), self.cluster.server)
        return plan_rollback(self.observed, record, request, discard=discard)

    def apply(
        self, plan: ChangePlan, say: Callable[[str], None], *, seconds: float, back: bool
    ) -> tuple[NodeMode, ...]:
        """Carry a plan out, with at most so many seconds for each pool; what each node runs afterwards."""
        return Executor(plan=plan, say=say, seconds=seconds, back=partial(self._way_back, plan)).apply(back=back)

    def modes(self) -> tuple[NodeMode, ...]:
        """What each node runs now."""
        return read_modes(self.observed, self.observed.pods)

    def _way_back(self, plan: ChangePlan, saved: Path | None) -> str:
        """The command that takes the plan back, from whatever folder it is run and whatever context is current then."""
        request, context = plan.request, self.cluster.context
        options = {
            "kubeconfig": _absolute(self.kubeconfig),
            "context": None if context == IN_CLUSTER else context,
            "cluster_name": self.cluster_name,
            "region": self.region,
            "profile": self.profile,
            "pool_label": self.pool_label,
            "look": self.look,
            "identity": _absolute(self.identity),
        }
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value]
        words += [f"--ssh-option={one}" for one in self.ssh_options] + [f"--pool={one}" for one in request.pools]
        words += ["--by-pool"] if request.by_pool else []
        words += ["--despite-addon"] if plan.way.name != plan.observed.managed.way else []
        words += [f"--saved={saved}"] if saved else []
        return shlex.join(["amigen", "kube-proxy", "rollback", *words])

    def connections(self, targets: tuple[str, ...]) -> tuple[Connection, ...]:
        """One for each target; a wrong one is an error before anything is asked."""
        return tuple(node_at(target, self._ssh) for target in targets)

    def compare(
        self, asked: tuple[Connection, ...], listing: Table | None, assumed: ProxyConfig | None = None
    ) -> tuple[NodeStatus, ...]:
        """Look once on each node, and at a saved listing, against the cluster as it is now.

        Args:
            assumed: kube-proxy's configuration, where it is not in a ConfigMap.
        """
        self.__dict__.pop("observed", None)  # a watch must see a configuration that changes meanwhile
        if assumed is not None:
            version = minor_version(self.cluster.version(), "the server's version")
            nodes = daemonset.nodes(self.cluster.list(NODES), self.pool_label) if asked else ()
            proxy = KubeProxy(config=assumed, proxy_version=version, nodes=nodes)
        else:
            proxy = self.observed
        config = proxy.config
        features = ProxyFeatures.of(version_tuple(proxy.proxy_version), config.get("featureGates") or {})
        services = list(self.cluster.list(SERVICES, namespace=""))
        ports = read_services(services, self.cluster.list(ENDPOINT_SLICES, namespace=""), features)
        found = []
        for one, facts in zip(asked, gather_all(asked, proxy.metrics), strict=True):
            if isinstance(facts, CouldNotCheckError):
                found.append(NodeStatus(subject=one.target.text, key=one.target.text, found=facts))
                continue
            if isinstance(facts, AmigenError):
                raise facts
            node = matching_node(facts, one.target.name if one.target.kind == "ssh" else "", proxy.nodes)
            name = f"{node.name} ({one.target.text})" if node else one.target.text
            judged = judge(facts, config, wanted_on(node, ports, config, features, facts.addresses), name)
            found.append(NodeStatus(subject=name, key=one.target.text, found=judged))
        if listing is not None:
            judged = judge_table(listing, config, wanted_on(None, ports, config, features, None))
            found.append(NodeStatus(subject="the saved listing", key="the saved listing", found=judged))
        return tuple(found)


def _absolute(file: str | None) -> str | None:
    return str(Path(file).expanduser().absolute()) if file else None
