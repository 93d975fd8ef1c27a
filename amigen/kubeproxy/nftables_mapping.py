"""What each setting of ipvs or iptables mode maps to in nftables mode, and what else works otherwise there. Pure.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and "Migrating from iptables
mode to nftables" below it; https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go for the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amigen.base.words import shortened
from amigen.knowledge import NFT_MINIMUM, NFTABLES_DIFFERENCES, nft_clashes, statement
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.versions import kernel_below
from amigen.spec.kubelet_values import seconds


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting and what it maps to.

    Attributes:
        becomes: `nftables.syncPeriod=30s`, or empty: it has no counterpart.
        default: True where nothing has to, because the default means the same.
        note: What that means.
        matters: True where the behaviour of the cluster changes.
    """

    setting: str
    value: str
    becomes: str
    note: str
    matters: bool = False
    default: bool = False

    @property
    def target(self) -> str:
        """What becomes of it, in words."""
        return self.becomes or ("nothing to set" if self.default else "no counterpart")


# Where a default means the same, nothing has to be set.
_SAME, _SAME_DEFAULT = "the same meaning", "the same meaning; the default"
_UNKNOWN = "unknown to amigen; see the documentation of kube-proxy"
_RANDOM = "an even spread: nftables mode picks an endpoint at random for each connection"
_NO_SCHEDULER = (
    "nftables mode only spreads evenly, at random per connection; each node balanced its own connections only, so the"
    " loss is smaller than it sounds [KEP-5495]. sessionAffinity of a Service still works"
)
_NO_TIMEOUT = (
    "connections are tracked by conntrack alone: conntrack.tcpEstablishedTimeout and conntrack.tcpCloseWaitTimeout,"
    " conntrack.udpTimeout from 1.29 on"
)
_NO_ARP = (
    "not needed: it guarded the addresses on kube-ipvs0, and nftables mode binds none. arp_ignore and arp_announce stay"
    " as they are on a running node until it is replaced"
)
_NO_EXCLUDED = (
    "not needed: kube-proxy touches nothing outside its own nftables table. But as it starts it flushes the whole IPVS"
    " table, the virtual services of excludeCIDRs included: what made them has to make them again"
)


def nftables_mapping(config: ProxyConfig, version: str) -> tuple[Row, ...]:
    """Each setting of the mode in force, for a kube-proxy of this version (`MAJOR.MINOR`)."""
    mode = config.mode
    ipvs, iptables = dict(config.get("ipvs") or {}), dict(config.get("iptables") or {})
    found = [_row("mode", mode, "one field decides", becomes="mode=nftables", matters=True)]
    if mode == "ipvs":
        ipvs.setdefault("scheduler", None)
        found += [_mapped("ipvs", key, value, version) for key, value in ipvs.items()]
        # ipvs mode takes its masquerade settings from the iptables section, and no other.
        iptables = {key: value for key, value in iptables.items() if key in ("masqueradeAll", "masqueradeBit")}
    if mode == "iptables":
        iptables.setdefault("localhostNodePorts", None)
    found += [_mapped("iptables", key, value, version) for key, value in iptables.items()]
    ports = config.get("nodePortAddresses")
    note = (
        "stays as it is" if ports else _note("nftables-node-port-addresses", version) + " (not through the EKS add-on)"
    )
    return (*found, _row("nodePortAddresses", ports or None, note, matters=not ports, default=True))


def _row(
    setting: str, value: Any, note: str, *, becomes: str = "", matters: bool = False, default: bool = False
) -> Row:
    return Row(
        setting=setting,
        value=value_text(value, "(unset)"),
        becomes=becomes,
        note=note,
        matters=matters,
        default=default,
    )


def differences(
    config: ProxyConfig,
    version: str,
    patch: int | None,
    nodes: Sequence[Node],
    gathered: Mapping[str, NodeFacts | str],
    fields: Collection[str] = (),
) -> Iterator[str]:
    """What works otherwise in nftables mode and is no setting, each with its remedy and source.

    Args:
        version: kube-proxy's, `MAJOR.MINOR`.
        patch: Its patch version; None: not known.
        nodes: Those of the cluster; empty: not known.
        fields: What the change sets: that is no difference.
    """
    for name, fact in NFTABLES_DIFFERENCES.items():
        path = fact.set.partition("=")[0]
        if name in _OF_SETTINGS or path in fields or (path and config.get(path)):
            continue
        if fact.leaving not in (None, config.mode):
            continue
        old = [node.name for node in nodes if fact.kernel_below and kernel_below(node.kernel, fact.kernel_below)]
        if fact.kernel_below and nodes and not old:
            continue
        yield f"{_named(old)}{fact.statement}; {fact.advice(version)} [{fact.source}]"
    known = {name: facts.nft for name, facts in gathered.items() if isinstance(facts, NodeFacts) and facts.nft}
    clashing = [name for name, nft in known.items() if nft_clashes(nft, version, patch)]
    if clashing or (not known and nft_clashes((99,), version, patch)):
        remedy = "update kube-proxy first" + ("" if known else ", or look at the nodes' nft (--look)")
        yield f"{_named(clashing)}{statement('nft-clash')}; {remedy}"
    if old := [name for name, nft in known.items() if nft < NFT_MINIMUM]:
        yield f"{_named(old)}{statement('nft-minimum')}; update nft there, or remove it"


# They are rows of the mapping.
_OF_SETTINGS = ("nftables-node-port-addresses", "nftables-localhost-node-ports")


def _note(name: str, version: str) -> str:
    fact = NFTABLES_DIFFERENCES[name]
    return f"{fact.statement}; {fact.advice(version)}"


def _named(nodes: Sequence[str]) -> str:
    return f"{shortened(nodes, 3)}: " if nodes else ""


def _mapped(section: str, key: str, value: Any, version: str) -> Row:
    """One setting of ipvs or iptables mode."""
    setting = f"{section}.{key}"
    if key in ("syncPeriod", "minSyncPeriod") or setting in ("iptables.masqueradeAll", "iptables.masqueradeBit"):
        usual = {"syncPeriod": "30s", "masqueradeAll": False, "masqueradeBit": 14}
        same = value in (None, usual.get(key)) or (key.endswith("Period") and not _is_set(value))
        becomes = "" if same else f"nftables.{key}={value_text(value)}"
        matters = not same and key.startswith("masquerade")
        return _row(setting, value, _SAME_DEFAULT if same else _SAME, becomes=becomes, matters=matters, default=same)
    if setting == "ipvs.scheduler":
        other = bool(value) and value != "rr"
        return _row(setting, value or "rr", _NO_SCHEDULER if other else _RANDOM, matters=other, default=not other)
    if setting == "ipvs.strictARP":
        return _row(setting, value, _NO_ARP, matters=value is True, default=not value)
    if setting in ("ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"):
        return _row(setting, value, _NO_TIMEOUT, matters=_is_set(value), default=not _is_set(value))
    if setting == "ipvs.excludeCIDRs":
        return _row(setting, value, _NO_EXCLUDED, matters=bool(value), default=not value)
    if setting == "iptables.localhostNodePorts":
        return _row(setting, value, _note("nftables-localhost-node-ports", version), matters=value is not False)
    return _row(setting, value, _UNKNOWN, matters=True)


def _is_set(value: Any) -> bool:
    return bool(value) and not (isinstance(value, str) and seconds(value) == 0)
