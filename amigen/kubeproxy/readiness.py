"""Which nodes are ready for a mode: by their labels and kernel, by verification results, or by looking on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from amigen.base.errors import InputError
from amigen.base.files import read_file
from amigen.checks.module import LoadedCheck
from amigen.knowledge import MODE_MODULES, NFTABLES_MIN_KERNEL, scheduler_module
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.versions import kernel_below
from amigen.spec.values import ProxyMode
from amigen.verify.report import Report

Verdict: TypeAlias = Literal["ready", "not ready", "not known"]

# `amigen/ipvs: ready` on a node says that its image was verified for this mode; a spec sets it with
# `join.eks.kubelet.labels`, a node group with its labels.
LABEL_PREFIX = "amigen/"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether one node is ready for a mode.

    Attributes:
        by: What says so: `label`, `kernel`, `verification`, `looked`; empty where nothing does.
    """

    node: str
    pool: str
    verdict: Verdict
    by: str
    why: str


def readiness(
    node: Node,
    mode: ProxyMode,
    scheduler: str,
    *,
    gathered: NodeFacts | str | None = None,
    verified: Mapping[str, str] | None = None,
) -> Readiness:
    """Judge one node; what was seen on it outweighs what is said of it.

    Args:
        gathered: Facts of the node, or why there are none; None: it was not asked.
        verified: Outcome by check id out of a report of `amigen verify`; None without one.
    """

    def found(verdict: Verdict, by: str, why: str) -> Readiness:
        return Readiness(node=node.name, pool=node.pool, verdict=verdict, by=by, why=why)

    if isinstance(gathered, NodeFacts):
        missing = _lacks(gathered, mode, scheduler)
        return found("not ready" if missing else "ready", "looked", missing or "all that the mode needs is there")
    tail = f" ({gathered})" if gathered else ""
    if old := _too_old(node.kernel, mode):
        return found("not ready", "kernel", old)
    if verified is not None and (said := _of_report(verified, mode, scheduler)):
        return found(said[0], "verification", said[1] + tail)
    label = node.labels.get(LABEL_PREFIX + mode)
    if label is not None:
        return found("ready" if label == "ready" else "not ready", "label", f"{LABEL_PREFIX}{mode}={label}{tail}")
    if mode == "iptables":
        return found("ready", "mode", "every Linux node has iptables" + tail)
    if mode == "nftables" and node.kernel:
        return found("ready", "kernel", f"kernel {node.kernel}, new enough" + tail)
    return found(
        "not known", "", f"no label {LABEL_PREFIX}{mode}, no report, and the node was not asked (--look)" + tail
    )


def _lacks(gathered: NodeFacts, mode: ProxyMode, scheduler: str) -> str:
    """What a node lacks for a mode, one sentence; empty: nothing.

    A module that is only a file counts as lacking: kube-proxy may load it by itself and may not
    (https://github.com/k0sproject/k0s/issues/4626), and after a reboot the same question comes back.
    """
    facts = gathered.of_node
    if old := _too_old(facts.kernel, mode):
        return old
    unloaded = [name for name in _modules(mode, scheduler) if not facts.is_loaded(name)]
    files = [name for name in unloaded if facts.availability(name, facts.kernel).is_available]
    gone = [name for name in unloaded if name not in files]
    parts = [f"the kernel has no module {', '.join(gone)}"] if gone else []
    parts += [f"not loaded: {', '.join(files)}"] if files else []
    return "; ".join(parts)


def _too_old(kernel: str, mode: ProxyMode) -> str:
    if mode != "nftables" or not kernel_below(kernel, NFTABLES_MIN_KERNEL):
        return ""
    return f"kernel {kernel} is older than {'.'.join(map(str, NFTABLES_MIN_KERNEL))}"


def _modules(mode: ProxyMode, scheduler: str) -> tuple[str, ...]:
    return ("ip_vs", scheduler_module(scheduler), "nf_conntrack") if mode == "ipvs" else MODE_MODULES[mode]


def _of_report(verified: Mapping[str, str], mode: ProxyMode, scheduler: str) -> tuple[Verdict, str] | None:
    """What a report says of the mode's modules; None where it did not check them (an image of another mode)."""
    checks = [LoadedCheck(module=name).id for name in _modules(mode, scheduler)]
    outcomes = {check: verified.get(check, "") for check in checks}
    failed = [check for check, outcome in outcomes.items() if outcome == "failed"]
    if failed:
        return "not ready", f"`amigen verify` says failed: {', '.join(failed)}"
    if all(outcome == "passed" for outcome in outcomes.values()):
        return "ready", "`amigen verify` has proved its modules"
    return None


def read_verified(text: str) -> tuple[str, dict[str, str]]:
    """Read `NODE=FILE` with a report of `amigen verify --output json`.

    Returns:
        The node, and the outcome of each check: of several phases the worst.

    Raises:
        InputError: No such form, or no report.
    """
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
