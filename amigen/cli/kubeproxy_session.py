"""What the commands of `amigen kube-proxy` share: the clients that they pass into the library."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from amigen.base.errors import AmigenError, AwsError, CouldNotCheckError, InputError, RefusedError
from amigen.base.files import read_file
from amigen.cli.document import echo_line
from amigen.cli.kubeproxy_options import way_back
from amigen.connections.model import Connection
from amigen.connections.ssh import ssh_words
from amigen.ipvs.model import Table
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.addon import Addon
from amigen.kubeproxy.addon_values import Update
from amigen.kubeproxy.apply import Executor
from amigen.kubeproxy.change import ChangePlan, ChangeRequest
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.detect import EksName, eks_name
from amigen.kubeproxy.node_facts import DEFAULT_METRICS, gather_all, node_at
from amigen.kubeproxy.node_match import matching_node, wanted_on, where
from amigen.kubeproxy.observe import Observed, observe
from amigen.kubeproxy.plan import make_plan
from amigen.kubeproxy.rollout import Clock, Tools
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.status import NodeStatus, features_of, judge, judge_table, service_ports
from amigen.kubeproxy.versions import minor_version
from amigen.kubernetes.cluster import Cluster, connect
from amigen.kubernetes.kinds import NODES


class Session:
    """One invocation: connects on first use.

    Args:
        options: The options of the command.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.clock = Clock(monotonic=time.monotonic, sleep=time.sleep)

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster of kubeconfig and context."""
        return connect(self._options["kubeconfig"], self._options["context"])

    @cached_property
    def eks(self) -> EksName | None:
        """The cluster's name in EKS: by option, or out of the kubeconfig."""
        found = eks_name(self.cluster.name, self.cluster.context)
        name, region = self._options["cluster_name"], self._options["region"]
        if name:
            return EksName(cluster=name, region=region or (found.region if found else ""))
        return EksName(cluster=found.cluster, region=region or found.region) if found else None

    @cached_property
    def addon(self) -> Addon | None:
        """The add-on's calls; None where no EKS cluster is known."""
        if self.eks is None:
            return None
        from amigen.aws.session import Aws, AwsOptions, configured_region

        profile = self._options["profile"]
        region = self.eks.region or configured_region(profile)
        if not region:
            raise AwsError(f"the region of the EKS cluster {self.eks.cluster} is not known", "name --region")
        return Addon(Aws(AwsOptions(profile=profile)), self.eks.cluster, region)

    @property
    def _ssh(self) -> tuple[str, ...]:
        return ssh_words(self._options["ssh_options"], self._options["identity"])

    @property
    def reach(self) -> Any:
        """The way to a node by --look; None without it."""
        template = self._options["look"]
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
            strict=bool(self._options["cluster_name"]),
            pool_label=self._options["pool_label"],
            reach=self.reach,
        )

    @cached_property
    def request(self) -> ChangeRequest:
        """How a change is to go."""
        options = self._options
        return ChangeRequest(
            by=options.get("by", "auto"),
            despite_addon=options["despite_addon"],
            cluster_name=self.eks.cluster if self.eks else "",
            resolve=options["resolve"],
            by_pool=options["by_pool"] or bool(options["pools"]),
            pools=options["pools"],
            verified=dict(_verified(text) for text in options.get("verified", ())),
        )

    def plan(self, settings: Settings) -> ChangePlan:
        """The plan of a change."""
        # Before the cluster is asked: it reads files.
        request = self.request
        schema = None
        if self.addon is not None and self.observed.managed.addon is not None:
            schema = self.addon.schema(self.observed.managed.addon.version)
        return make_plan(self.observed, settings, request, schema=schema, running=self.running)

    @property
    def running(self) -> Update | None:
        """The add-on's update that is under way; asked only where its status says that there is one."""
        state = self.observed.managed.addon
        return self.addon.under_way() if self.addon and state and state.status == "UPDATING" else None

    def execute(self, plan: ChangePlan, output: str, *, back: bool = False) -> None:
        """Ask, then do it and say what each node runs.

        Raises:
            RefusedError: It would have to ask about a plan that is not shown yet.
        """
        from amigen.kubeproxy import show

        if plan.nothing_to_do:
            return
        if self._options["dry_run"]:
            click.echo("dry run: nothing was changed", err=True)
            return
        if not self._options["yes"]:
            if output == "json":  # the document is printed at the end
                raise RefusedError("--output json does not ask, so nothing was changed", "use --yes, or --dry-run")
            click.confirm(f"Change kube-proxy of {self.cluster.name} now?", abort=True, err=True)
        tools = Tools(
            cluster=self.cluster,
            addon=self.addon,
            clock=self.clock,
            say=lambda line: echo_line(line, err=True),
            seconds=self._options["timeout"],
        )
        executor = Executor(
            tools=tools,
            reach=self.reach,
            back=self._back,
        )
        modes = executor.apply(plan, back=back)
        click.echo("mode of each node, read back:", err=True)
        for line in show.modes_text(modes):
            echo_line(line, err=True)

    def _back(self, plan: ChangePlan, saved: Path | None) -> str:
        despite = plan.way != plan.observed.managed.way
        return way_back(self._options, context=self.cluster.context, saved=saved, despite_addon=despite)

    def connections(self, targets: tuple[str, ...]) -> tuple[Connection, ...]:
        """One for each target; a wrong one is an error before anything is asked."""
        return tuple(node_at(target, self._ssh) for target in targets)

    def compare(
        self, asked: tuple[Connection, ...], listing: Table | None, assumed: ProxyConfig | None = None
    ) -> tuple[NodeStatus, ...]:
        """Look once on each node, and at a saved listing, against the cluster as it is now.

        Args:
            asked: The way to each node.
            listing: A saved listing.
            assumed: kube-proxy's configuration, where it is not in a ConfigMap.
        """
        self.__dict__.pop("observed", None)  # a watch must see a configuration that changes meanwhile
        if assumed is not None:
            config, metrics = assumed, DEFAULT_METRICS
            version = minor_version(self.cluster.version(), "the server's version")
            nodes = daemonset.nodes(self.cluster.list(NODES), self._options["pool_label"]) if asked else ()
        else:
            config, metrics = self.observed.config, self.observed.metrics
            version, nodes = self.observed.proxy_version, self.observed.nodes
        features = features_of(config, version)
        ports = service_ports(self.cluster, features)
        found = []
        for one, facts in zip(asked, gather_all(asked, metrics), strict=True):
            if isinstance(facts, CouldNotCheckError):
                found.append(NodeStatus(subject=one.target.text, target=one.target.text, unseen=facts))
                continue
            if isinstance(facts, AmigenError):
                raise facts
            node = matching_node(facts, one.target.name if one.target.kind == "ssh" else "", nodes)
            name = f"{node.name} ({one.target.text})" if node else one.target.text
            state = judge(
                facts,
                config,
                wanted_on(node, ports, config, features, facts.addresses),
                name,
                (ports, where(node, features)),
            )
            found.append(replace(state, target=one.target.text))
        if listing is not None:
            wanted = wanted_on(None, ports, config, features, None)
            found.append(judge_table(listing, config, wanted, "the saved listing"))
        return tuple(found)


def _verified(text: str) -> tuple[str, dict[str, str]]:
    """`NODE=FILE`: the outcomes of a report of `amigen verify --output json`; of several phases the worst.

    Raises:
        InputError: No such form, or no report.
    """
    import msgspec

    from amigen.verify.report import Report

    node, equals, file = text.partition("=")
    if not equals or not node or not file:
        raise InputError(f"--verified {text!r} is not NODE=FILE")
    try:
        report = msgspec.json.decode(read_file(file), type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: not one report of `amigen verify` as JSON: {error}") from None
    outcomes: dict[str, str] = {}
    for result in report.results:
        if outcomes.get(result.id) != "failed":
            outcomes[result.id] = result.outcome
    return node, outcomes
