"""What each setting of ipvs or iptables mode maps to in nftables mode, and what else works otherwise there. Pure.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and "Migrating from iptables
mode to nftables" below it; https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go for the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amigen.base.words import shortened
from amigen.knowledge import NFT_MINIMUM, NFTABLES_DIFFERENCES, nft_clashes, statement
from amigen.kubeproxy.fields import value_text
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.observe import KubeProxy
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

    @classmethod
    def of(
        cls, setting: str, value: Any, note: str, *, becomes: str = "", matters: bool = False, default: bool = False
    ) -> Row:
        """A row with the value as text."""
        text = value_text(value, "(unset)")
        return cls(setting=setting, value=text, becomes=becomes, note=note, matters=matters, default=default)

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


def nftables_mapping(proxy: KubeProxy) -> tuple[Row, ...]:
    """Each setting of the mode in force."""
    config, mode = proxy.config, proxy.config.mode
    ipvs, iptables = dict(config.get("ipvs") or {}), dict(config.get("iptables") or {})
    found = [Row.of("mode", mode, "one field decides", becomes="mode=nftables", matters=True)]
    if mode == "ipvs":
        ipvs.setdefault("scheduler", None)
        found += [_mapped(f"ipvs.{key}", value, proxy.proxy_version) for key, value in ipvs.items()]
        # ipvs mode takes its masquerade settings from the iptables section, and no other.
        iptables = {key: value for key, value in iptables.items() if key in ("masqueradeAll", "masqueradeBit")}
    if mode == "iptables":
        iptables.setdefault("localhostNodePorts", None)
    found += [_mapped(f"iptables.{key}", value, proxy.proxy_version) for key, value in iptables.items()]
    ports = config.get("nodePortAddresses")
    note = _note("nftables-node-port-addresses", proxy.proxy_version) + " (not through the EKS add-on)"
    note = "stays as it is" if ports else note
    return (*found, Row.of("nodePortAddresses", ports or None, note, matters=not ports, default=True))


def _is_set(value: Any) -> bool:
    return bool(value) and not (isinstance(value, str) and seconds(value) == 0)


# Settings without a counterpart: what that means, and whether a value matters.
_LOST: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "ipvs.strictARP": (_NO_ARP, lambda value: value is True),
    "ipvs.excludeCIDRs": (_NO_EXCLUDED, bool),
    **dict.fromkeys(("ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"), (_NO_TIMEOUT, _is_set)),
}
_USUAL = {"syncPeriod": "30s", "minSyncPeriod": None, "masqueradeAll": False, "masqueradeBit": 14}


def _mapped(setting: str, value: Any, version: str) -> Row:
    """One setting of ipvs or iptables mode."""
    section, _, key = setting.partition(".")
    if key.endswith("yncPeriod") or (section == "iptables" and key in _USUAL):
        same = value in (None, _USUAL[key]) or (key.endswith("Period") and not _is_set(value))
        becomes = "" if same else f"nftables.{key}={value_text(value)}"
        note, matters = _SAME_DEFAULT if same else _SAME, not same and key.startswith("masquerade")
        return Row.of(setting, value, note, becomes=becomes, matters=matters, default=same)
    if setting == "ipvs.scheduler":
        other = bool(value) and value != "rr"
        return Row.of(setting, value or "rr", _NO_SCHEDULER if other else _RANDOM, matters=other, default=not other)
    if setting in _LOST:
        note, is_set = _LOST[setting]
        return Row.of(setting, value, note, matters=is_set(value), default=not is_set(value))
    if setting == "iptables.localhostNodePorts":
        return Row.of(setting, value, _note("nftables-localhost-node-ports", version), matters=value is not False)
    return Row.of(setting, value, _UNKNOWN, matters=True)


def differences(proxy: KubeProxy, fields: Collection[str] = ()) -> Iterator[str]:
    """What works otherwise in nftables mode and is no setting, each with its remedy and source.

    Args:
        fields: What the change sets: that is no difference.
    """
    config, version, nodes = proxy.config, proxy.proxy_version, proxy.nodes
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
    known = {name: facts.nft for name, facts in proxy.gathered.items() if isinstance(facts, NodeFacts) and facts.nft}
    clashing = [name for name, nft in known.items() if nft_clashes(nft, version, proxy.proxy_patch)]
    if clashing or (not known and nft_clashes((99,), version, proxy.proxy_patch)):
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
