"""What a user should know before a change, and does not stop it. Pure."""

from __future__ import annotations

from amigen.knowledge import GATES, mode_fact, statement
from amigen.kubeproxy import versions
from amigen.kubeproxy.daemonset import ignored_flags
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.migrate import NFT_NEEDED
from amigen.kubeproxy.nftables_mapping import differences, nftables_mapping
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.settings import Settings
from amigen.spec.kubelet_api import kubelet_api
from amigen.spec.values import ProxyMode

# How many minor versions ahead a worse state of a mode is a warning, and not only a fact.
_AHEAD = 2


def warnings(observed: Observed, settings: Settings) -> list[str]:
    """Those of version, gates, flags and modes, in the order in which they matter."""
    found = [
        *_of_version(settings.mode, observed.proxy_version),
        *_of_gates(settings, observed.proxy_version),
        *_of_flags(observed),
    ]
    if settings.mode == "nftables" != observed.config.mode:
        found.extend(_of_nftables(observed, settings))
    if settings.mode == "ipvs" and settings.fields.get("ipvs.scheduler", "rr") != "rr":
        found.append(
            "each node balances only its own connections, so a scheduler other than rr evens out less than it does on a"
            " load balancer [KEP-5495]"
        )
    if {observed.config.mode, settings.mode} == {"ipvs", "iptables"}:
        found.append(
            "kube-proxy does not clean up between ipvs and iptables [https://github.com/kubernetes/kubernetes/issues/102314]:"
            f" replace each node, or clean it: {statement('kube-proxy-cleanup')}"
        )
    return found


def _of_version(mode: ProxyMode, version: str) -> list[str]:
    fact, found = mode_fact(mode, version), []
    way_out = "`amigen kube-proxy migrate` plans the way out"
    if fact.state == "deprecated":
        found.append(f"{mode} is {fact.statement} [{fact.source}]; {way_out}")
    coming = next(iter(versions.worse(mode, version)), None)
    if coming is not None and coming.since[1] - int(version.split(".")[1]) <= _AHEAD:
        found.append(f"this is {version}, and {mode} is {coming.statement} [{coming.source}]; {way_out}")
    return found


def _of_gates(settings: Settings, version: str) -> list[str]:
    api = kubelet_api(version)  # one table of gates for all programs of Kubernetes
    known = {*(api.feature_gates if api else ()), *(gate.name for gate in GATES)}
    names = [path.split(".")[1] for path in settings.fields if path.startswith("featureGates.")]
    return [
        f"amigen does not know the feature gate {name}: kube-proxy exits where its version does not have it"
        for name in names
        if name not in known
    ]


def _of_flags(observed: Observed) -> list[str]:
    flags = ignored_flags(observed.daemon_set)
    return [f"the DaemonSet also has {', '.join(flags)}: beside --config kube-proxy ignores them"] if flags else []


def _of_nftables(observed: Observed, settings: Settings) -> list[str]:
    """What changes in the cluster, out of the way to nftables; what this very change sets is no loss."""
    found = [
        f"{row.setting}={row.value} -> {row.target}: {row.note}"
        for row in nftables_mapping(observed)
        if row.matters
        and row.setting not in ("mode", *settings.fields)
        and row.becomes.split("=")[0] not in settings.fields
        and not _there(observed, row.becomes)
    ]
    found += differences(observed, settings.fields)
    return [*found, NFT_NEEDED, "`amigen kube-proxy migrate` lists what becomes of each setting, and what to clean up"]


def _there(observed: Observed, becomes: str) -> bool:
    path, _, value = becomes.partition("=")
    now = observed.config.get(path) if path else None
    return now is not None and value_text(now) == value
