"""What becomes of each setting of ipvs or iptables mode in nftables mode. Pure.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and "Migrating from iptables
mode to nftables" below it; https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.settings import duration_seconds


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting and its fate.

    Attributes:
        becomes: `nftables.syncPeriod=30s`, or empty: nothing stands for it.
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
    def fate(self) -> str:
        """What becomes of it, in words."""
        return self.becomes or ("nothing to set" if self.default else "no counterpart")


def fates(config: ProxyConfig) -> tuple[Row, ...]:
    """Each setting of the mode in force, with its fate."""
    mode = config.mode
    found: list[Row | None] = [
        Row(setting="mode", value=mode, becomes="mode=nftables", note="one field decides", matters=True)
    ]
    if mode == "ipvs":
        found += [_ipvs(key, value) for key, value in (config.get("ipvs") or {}).items()]
        if "scheduler" not in (config.get("ipvs") or {}):
            found.append(_scheduler("rr"))
    # ipvs mode takes its masquerade settings from the iptables section too.
    for key, value in (config.get("iptables") or {}).items():
        found.append(_iptables(key, value, mode))
    if mode == "iptables" and "localhostNodePorts" not in (config.get("iptables") or {}):
        found.append(_iptables("localhostNodePorts", None, mode))
    found.append(_node_ports(config.get("nodePortAddresses")))
    return tuple(row for row in found if row)


def _ipvs(key: str, value: Any) -> Row | None:
    setting = f"ipvs.{key}"
    if key == "scheduler":
        return _scheduler(str(value or "rr"))
    if key in ("syncPeriod", "minSyncPeriod"):
        return _period(setting, f"nftables.{key}", value)
    if key == "strictARP":
        return Row(
            setting=setting,
            value=_text(value),
            becomes="",
            note="not needed: it guarded the addresses on kube-ipvs0, and nftables mode binds none. arp_ignore and"
            " arp_announce stay as they are on a running node until it is replaced",
            matters=value is True,
            default=not value,
        )
    if key in ("tcpTimeout", "tcpFinTimeout", "udpTimeout"):
        return Row(
            setting=setting,
            value=_text(value),
            becomes="",
            note="connections are tracked by conntrack alone: conntrack.tcpEstablishedTimeout and"
            " conntrack.tcpCloseWaitTimeout, conntrack.udpTimeout from 1.29 on",
            matters=_is_set(value),
            default=not _is_set(value),
        )
    if key == "excludeCIDRs":
        return Row(
            setting=setting,
            value=_text(value),
            becomes="",
            note="not needed: kube-proxy touches nothing outside its own nftables table",
            default=not value,
        )
    return Row(setting=setting, value=_text(value), becomes="", note="not known to amigen; look it up", matters=True)


def _scheduler(value: str) -> Row:
    if value == "rr":
        note = "an even spread: nftables mode picks an endpoint at random for each connection"
        return Row(setting="ipvs.scheduler", value=value, becomes="", note=note, default=True)
    return Row(
        setting="ipvs.scheduler",
        value=value,
        becomes="",
        note="nftables mode only spreads evenly, at random per connection; each node balanced its own"
        " connections only, so the loss is smaller than it sounds [KEP-5495]. sessionAffinity of a Service still works",
        matters=True,
    )


def _iptables(key: str, value: Any, mode: str) -> Row | None:
    setting = f"iptables.{key}"
    if key in ("masqueradeAll", "masqueradeBit"):
        default = {"masqueradeAll": False, "masqueradeBit": 14}[key]
        same = value in (None, default)
        becomes = "" if same else f"nftables.{key}={_text(value)}"
        note = "the same meaning; the default" if same else "the same meaning"
        return Row(setting=setting, value=_text(value), becomes=becomes, note=note, matters=not same, default=same)
    if mode == "ipvs":
        return None  # the other fields have no effect in ipvs mode
    if key in ("syncPeriod", "minSyncPeriod"):
        return _period(setting, f"nftables.{key}", value)
    if key == "localhostNodePorts":
        return Row(
            setting=setting,
            value=_text(value),
            becomes="",
            note="node ports on 127.0.0.1 are not supported in nftables mode",
            matters=value is not False,
        )
    return Row(setting=setting, value=_text(value), becomes="", note="not known to amigen; look it up", matters=True)


def _period(setting: str, target: str, value: Any) -> Row:
    same = not _is_set(value) or (target.endswith("syncPeriod") and ".min" not in target and value == "30s")
    note = "the same meaning; the default" if same else "the same meaning"
    becomes = "" if same else f"{target}={value}"
    return Row(setting=setting, value=_text(value), becomes=becomes, note=note, default=same)


def _node_ports(value: Any) -> Row:
    if value:
        note = "stays as it is"
        return Row(setting="nodePortAddresses", value=_text(value), becomes="", note=note, default=True)
    return Row(
        setting="nodePortAddresses",
        value="(unset)",
        becomes="",
        note="unset means all addresses of a node in ipvs and iptables mode, only its primary ones in nftables mode;"
        " to keep all: --set nodePortAddresses=0.0.0.0/0,::/0 (not through the EKS add-on)",
        matters=True,
        default=True,
    )


def _is_set(value: Any) -> bool:
    return bool(value) and not (isinstance(value, str) and duration_seconds(value) == 0)


def _text(value: Any) -> str:
    return "(unset)" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
