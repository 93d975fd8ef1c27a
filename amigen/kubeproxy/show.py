"""Plans, states and migrations as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from amigen.base.errors import CouldNotCheckError
from amigen.knowledge import ModeFact
from amigen.kubeproxy import detect, health
from amigen.kubeproxy.change import ChangePlan
from amigen.kubeproxy.daemonset import NO_POOL
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.migrate import Migration
from amigen.kubeproxy.node_facts import NodeMode
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.plan import disruption
from amigen.kubeproxy.readiness import Readiness
from amigen.kubeproxy.status import NodeStatus
from amigen.kubeproxy.versions import states
from amigen.services.difference import Difference, Findings

_ALL = 10  # nodes named one by one; of more only those that are not ready


def plan_text(plan: ChangePlan) -> str:
    """The plan for a person."""
    observed = plan.observed
    lines = [*_head(observed), f"now: {_now(observed)}"]
    then = ", ".join(f"{path}={value_text(value)}" for path, value in plan.settings.changes.items())
    lines.append(f"then: {then} (by the {plan.way.label})")
    lines += ["", "modes in this version:", *_facts(states(observed.proxy_version))]
    if plan.nothing_to_do:
        return "\n".join([*lines, "", "nothing to do: it is configured so, and every kube-proxy has read it"]) + "\n"
    if plan.follow:
        lines += ["", f"the add-on update {plan.follow} is under way with these values; amigen follows it"]
    elif plan.drift:
        lines += ["", f"the add-on is set so; {observed.config.where} says otherwise, so it is sent again:"]
        lines += [f"  {one}" for one in plan.drift]
    elif not plan.changes:
        lines += ["", f"it is configured so; {len(plan.stale)} kube-proxy have not read it, or are not up since"]
        lines += ["an earlier run is unfinished: the DaemonSet is still held (OnDelete)"] if plan.observed.held else []
    lines += _section("why this is disruptive:", disruption(observed.config.mode, plan.settings.mode))
    lines += _section("mind:", plan.warnings)
    lines += ["", *_readiness(plan.readiness, plan.settings.mode)]
    title = "node pools, in this order:"
    if not plan.request.by_pool:
        title = "restarted together, as the DaemonSet's strategy says:"
    lines += _section(title, [f"{pool.name}: {len(pool.nodes)} nodes" for pool in plan.pools])
    lines += ["", "calls:", *(f"  {number}. {call}" for number, call in enumerate(plan.calls, start=1))]
    if plan.diff:
        lines += ["", "diff:", plan.diff.rstrip("\n")]
    return "\n".join(lines) + "\n"


def plan_json(plan: ChangePlan) -> dict[str, Any]:
    """The plan for a program."""
    return {
        "cluster": plan.observed.cluster.name,
        "server": plan.observed.cluster.server,
        "proxyVersion": plan.observed.proxy_version,
        "managed": detect.summary(plan.observed.managed),
        "way": plan.way.name,
        "now": {"mode": plan.observed.config.mode, "scheduler": plan.observed.config.scheduler},
        "then": plan.settings.changes,
        "changes": plan.changes,
        "drift": plan.drift,
        "follow": plan.follow,
        "stale": plan.stale,
        "modes": [_fact_json(fact) for fact in states(plan.observed.proxy_version)],
        "disruption": () if plan.nothing_to_do else disruption(plan.observed.config.mode, plan.settings.mode),
        "warnings": plan.warnings,
        "nodes": plan.readiness,
        "pools": plan.pools,
        "calls": plan.calls,
        "diff": plan.diff,
    }


def _head(observed: Observed) -> list[str]:
    cluster = observed.cluster
    return [
        f"cluster: {cluster.name} ({cluster.server}), context {cluster.context}",
        f"Kubernetes {observed.version}, kube-proxy {observed.proxy_version}",
        f"managed by: {observed.managed.evidence}",
    ]


def _section(title: str, items: Collection[str]) -> list[str]:
    return ["", title, *(f"  - {one}" for one in items)] if items else []


def _now(observed: Observed) -> str:
    text = f"mode {observed.config.mode}"
    return f"{text}, scheduler {observed.config.scheduler}" if observed.config.mode == "ipvs" else text


def _facts(facts: Iterable[ModeFact]) -> list[str]:
    return [f"  {fact.mode:8} {fact.statement} [{fact.source}]" for fact in facts]


def _fact_json(fact: ModeFact) -> dict[str, Any]:
    return {
        "mode": fact.mode,
        "since": ".".join(map(str, fact.since)),
        "state": fact.state,
        "says": fact.statement,
        "source": fact.source,
        "planned": fact.planned,
    }


def _readiness(found: tuple[Readiness, ...], mode: str) -> list[str]:
    number = Counter(one.verdict for one in found)
    lines = [
        f"nodes for {mode}: {number['ready']} ready, {number['not ready']} not ready, {number['not known']} not known"
    ]
    shown = found if len(found) <= _ALL else [one for one in found if one.verdict != "ready"]
    for one in shown:
        pool = f" ({one.pool})" if one.pool != NO_POOL else ""
        lines.append(f"  {one.node}{pool}: {one.verdict}: {one.why}")
    return lines


def modes_text(modes: Iterable[NodeMode]) -> list[str]:
    """The mode of each node, as it was read back."""
    return [
        f"  {one.node}: {one.mode} (by {one.by})" if one.mode else f"  {one.node}: not known (--look reads it there)"
        for one in modes
    ]


def cluster_text(observed: Observed, modes: tuple[NodeMode, ...]) -> str:
    """The state of a cluster, without asking any node."""
    ready = sum(pod.ready for pod in observed.pods)
    lines = [*_head(observed), f"configured: {_now(observed)}", "modes in this version:"]
    lines += _facts(states(observed.proxy_version))
    lines.append(f"kube-proxy pods: {ready} of {len(observed.pods)} ready")
    lines += [f"  {pod.node}: {pod.name} not ready: {pod.why}" for pod in observed.pods if not pod.ready]
    lines += [f"problem: {one}" for one in health.problems(observed, modes)]
    if health.addon_drift(observed):
        lines.append("  the same `apply` again sends the add-on's values again (--resolve-conflicts OVERWRITE)")
    lines += [f"note: {one}" for one in health.notes(observed)]
    lines += ["mode of each node:", *modes_text(modes)]
    return "\n".join(lines) + "\n"


def cluster_json(observed: Observed, modes: tuple[NodeMode, ...]) -> dict[str, Any]:
    """The same for a program."""
    return {
        "cluster": observed.cluster.name,
        "server": observed.cluster.server,
        "version": observed.version,
        "proxyVersion": observed.proxy_version,
        "managed": detect.summary(observed.managed),
        "configured": {"mode": observed.config.mode, "scheduler": observed.config.scheduler},
        "pods": [
            {"node": pod.node, "name": pod.name, "ready": pod.ready, "why": "" if pod.ready else pod.why}
            for pod in observed.pods
        ],
        "stale": [pod.node for pod in observed.stale_pods],
        "missing": health.missing(observed)[0],
        "drift": health.addon_drift(observed),
        "modes": modes,
        "problems": health.problems(observed, modes),
        "notes": health.notes(observed),
    }


def node_text(states: Iterable[NodeStatus], lasted: Mapping[tuple[str, Difference], float], *, watched: bool) -> str:
    """The comparison of nodes with the cluster."""
    lines: list[str] = []
    for state in states:
        found = state.found
        if isinstance(found, CouldNotCheckError):
            lines.append(f"{state.subject}: not seen: {found.message}")
            continue
        number = len(found.differences)
        lines.append(f"{state.subject}: {'as it should be' if not number else f'{number} differences'}")
        lines += [f"  ok: {fact}" for fact in found.facts]
        lines += [f"  note: {note}" for note in found.notes]
        for one in found.differences:
            since = f" (for {lasted.get((state.key, one), 0.0):.0f} s)" if watched else ""
            lines += [f"  differs: {one.says}{since}", f"    {one.why}"]
    return "\n".join(lines) + "\n"


def node_json(status: NodeStatus, lasted: Mapping[tuple[str, Difference], float]) -> dict[str, Any]:
    """The comparison of one node, for a program."""
    unseen = status.found if isinstance(status.found, CouldNotCheckError) else None
    found = Findings() if isinstance(status.found, CouldNotCheckError) else status.found
    return {
        "subject": status.subject,
        "unseen": unseen.message if unseen else None,
        "facts": found.facts,
        "notes": found.notes,
        "differences": [
            {**vars(one), "lastedSeconds": round(lasted.get((status.key, one), 0.0), 1)} for one in found.differences
        ],
    }


def migration_text(found: Migration) -> str:
    """The way to nftables."""
    there = found.mode == "nftables"
    head = "already nftables: nothing to migrate" if there else f"from {found.mode} to nftables"
    lines = [f"{head}, kube-proxy {found.version}", *_facts([found.state])]
    if found.blocked:
        lines += [f"not yet: {found.blocked.message}", f"  {found.blocked.hint}"]
    lines += [] if there else ["", "settings:"]
    for row in () if there else found.settings:
        mark = "!" if row.matters else " "
        lines.append(f" {mark} {row.setting}={row.value} -> {row.target}")
        lines.append(f"     {row.note}")
    lines += _section("what works otherwise:", found.differences)
    lines += _section("what nodes need:", found.needs)
    if found.nodes:
        lines += ["", *_readiness(found.nodes, "nftables")]
    if not there:
        lines += ["", "steps:", *(f"  {number}. {step}" for number, step in enumerate(found.steps, start=1))]
    lines += _section("to clean up after:", found.cleanup)
    lines += ["", "image spec:", *(f"  {line}" for line in found.spec.splitlines())]
    lines += [f"amigen makes no images of {one}: these nodes need another way" for one in found.strangers]
    return "\n".join(lines) + "\n"


def migration_json(found: Migration) -> dict[str, Any]:
    """The same for a program."""
    return {
        **vars(found),
        "state": _fact_json(found.state),
        "blocked": found.blocked.message if found.blocked else None,
    }
