"""The way from ipvs or iptables to nftables: what each setting becomes, what nodes need, what to clean up. Pure.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and "Migrating from iptables
mode to nftables" below it; https://kubernetes.io/blog/2025/02/28/nftables-kube-proxy/; KEP-3866; and
https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go for the fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from amigen.errors import RefusedError
from amigen.knowledge import MODE_MODULES, NFTABLES_MIN_KERNEL, PLATFORMS, ModeFact, mode_fact
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.daemonset import Node
from amigen.kubeproxy.readiness import Readiness, readiness
from amigen.kubeproxy.settings import duration_seconds
from amigen.kubeproxy.versions import why_not
from amigen.spec.model import API_VERSION

# kube-proxy calls `nft`; this is the oldest that the documentation names.
NFT_MINIMUM = "1.0.1"


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


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The whole way."""

    mode: str
    version: str
    fact: ModeFact
    blocked: RefusedError | None
    rows: tuple[Row, ...]
    nodes: tuple[Readiness, ...]
    needs: tuple[str, ...]
    cleanup: tuple[str, ...]
    steps: tuple[str, ...]
    spec: str


_Rule = Callable[[Any], Row | None]


def plan_migration(
    config: ProxyConfig, version: str, nodes: tuple[Node, ...] = (), *, server_version: str = "", name: str = "node"
) -> Migration:
    """Plan it.

    Args:
        config: The configuration in force.
        version: kube-proxy's, `MAJOR.MINOR`.
        nodes: Those of the cluster, for their kernels.
        server_version: The cluster's, for the image spec; empty: as kube-proxy.
        name: Of the image spec.
    """
    gates = dict(config.get("featureGates") or {})
    rows = tuple(row for row in _rows(config) if row)
    return Migration(
        mode=config.mode,
        version=version,
        fact=mode_fact("nftables", version),
        blocked=why_not("nftables", version, gates),
        rows=rows,
        nodes=tuple(readiness(node, "nftables", "") for node in nodes),
        needs=_NEEDS,
        cleanup=_cleanup(config.mode),
        steps=_steps(rows),
        spec=_spec(nodes, server_version or version, name),
    )


_NEEDS = (
    f"kernel {'.'.join(map(str, NFTABLES_MIN_KERNEL))} or newer on every node; kube-proxy exits on an older one",
    f"kernel modules {', '.join(MODE_MODULES['nftables'])}; the kernel loads the expression modules on use",
    f"nft {NFT_MINIMUM} or newer: kube-proxy's image brings it, a node needs its own only to look; tables made by a"
    " much newer nft of the host can crash the older one of the image",
    "a network plugin that goes with it: ask its documentation for nftables kube-proxy",
)


def _rows(config: ProxyConfig) -> list[Row | None]:
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
    found.append(_node_ports(config.get("nodePortAddresses")))
    return found


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
        note="no counterpart: nftables mode only spreads evenly, at random per connection; each node balanced its own"
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


def _cleanup(mode: str) -> tuple[str, ...]:
    common = "kube-proxy removes what ipvs and iptables mode left when it starts in nftables mode; look all the same:"
    check = "`amigen kube-proxy status --node TARGET` says what is left over on a node"
    if mode == "ipvs":
        return (
            common,
            "`ip link show kube-ipvs0` must find nothing; else `ip link del kube-ipvs0`",
            "`ipvsadm -L -n` must be empty; else `ipvsadm -C`",
            "`ipset list -n` must show no KUBE- sets, `iptables-save` no KUBE- chains but kubelet's KUBE-FIREWALL,"
            " KUBE-KUBELET-CANARY; else `kube-proxy --cleanup`",
            "`/etc/modules-load.d/ipvs.conf` keeps loading ip_vs at boot until the nodes have the new image",
            check,
        )
    return (
        common,
        "`iptables-save` must show no KUBE- chains but kubelet's KUBE-FIREWALL, KUBE-KUBELET-CANARY; else"
        " `kube-proxy --cleanup`",
        check,
    )


def _steps(rows: tuple[Row, ...]) -> tuple[str, ...]:
    fields = "".join(f" --set {row.becomes}" for row in rows if row.becomes.startswith("nftables."))
    return (
        "build an image from the spec below and verify it; give new nodes the label amigen/nftables=ready",
        f"amigen kube-proxy plan --mode nftables{fields}",
        f"amigen kube-proxy apply --mode nftables{fields} --by-pool  (a drained pool first; the add-on goes without"
        " --by-pool)",
        "amigen kube-proxy status, and status --node for the leftovers",
        "replace the nodes that still come from the old image",
    )


def _spec(nodes: tuple[Node, ...], version: str, name: str) -> str:
    document: Mapping[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "NodeImage",
        "name": name,
        "kubernetesVersion": version,
        "platforms": sorted({platform for node in nodes if (platform := _platform(node.os_image))}) or ["al2023"],
        "kubeProxy": {"mode": "nftables"},
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False)


def _platform(os_image: str) -> str | None:
    """`Ubuntu 24.04.1 LTS` or `Amazon Linux 2023.6.2025` as amigen's name of it."""
    match = re.match(r"(Ubuntu (\d\d\.\d\d)|Amazon Linux 2023|Debian GNU/Linux (\d+))", os_image)
    if match is None:
        return None
    name = f"ubuntu-{match[2]}" if match[2] else f"debian-{match[3]}" if match[3] else "al2023"
    return name if name in PLATFORMS else None
