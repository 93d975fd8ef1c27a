"""The fields of KubeProxyConfiguration: the kinds of their values, and what kube-proxy would not start with.

Sources: k8s.io/kube-proxy config/v1alpha1/types.go, kubernetes pkg/proxy/apis/config/validation/validation.go (1.37).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from amigen.knowledge import PROXY_MODES, SCHEDULERS
from amigen.services.model import read_address, read_network
from amigen.spec.kubelet_api import kubelet_api
from amigen.spec.kubelet_values import DURATION, seconds
from amigen.spec.values import ProxyMode

Value: TypeAlias = str | bool | int | list[str] | None

# What `--set` takes, with the kind of its value.
FIELDS: dict[str, str] = {
    "ipvs.scheduler": "text", "ipvs.syncPeriod": "duration", "ipvs.minSyncPeriod": "duration",
    "ipvs.excludeCIDRs": "cidrs", "ipvs.strictARP": "bool", "ipvs.tcpTimeout": "duration",
    "ipvs.tcpFinTimeout": "duration", "ipvs.udpTimeout": "duration",
    "iptables.masqueradeAll": "bool", "iptables.masqueradeBit": "int", "iptables.syncPeriod": "duration",
    "iptables.minSyncPeriod": "duration",
    "nftables.masqueradeAll": "bool", "nftables.masqueradeBit": "int", "nftables.syncPeriod": "duration",
    "nftables.minSyncPeriod": "duration",
    "nodePortAddresses": "cidrs",
    "conntrack.tcpEstablishedTimeout": "duration", "conntrack.tcpCloseWaitTimeout": "duration",
    "conntrack.udpTimeout": "duration", "conntrack.udpStreamTimeout": "duration", "conntrack.tcpBeLiberal": "bool",
}  # fmt: skip
# In place of CIDRs (validateKubeProxyNodePortAddress in pkg/proxy/apis/config/validation).
KEYWORDS = ("primary", "localhost", "all")
_SECTIONS = ("clientConnection", "conntrack", "detectLocal", "featureGates", "iptables", "ipvs", "nftables")
_KINDS: dict[str, str] = {
    **FIELDS,
    **dict.fromkeys(_SECTIONS, "map"),
    **dict.fromkeys(
        (
            *("bindAddress", "clusterCIDR", "clientConnection.kubeconfig", "detectLocal.bridgeInterface", "mode"),
            *("detectLocalMode", "healthzBindAddress", "hostnameOverride", "metricsBindAddress", "portRange"),
            "showHiddenMetricsForVersion",
        ),
        "text",
    ),
    **dict.fromkeys(("bindAddressHardFail", "enableProfiling", "iptables.localhostNodePorts"), "bool"),
    **dict.fromkeys(("oomScoreAdj", "conntrack.maxPerCore", "conntrack.min", "clientConnection.burst"), "int"),
    "configSyncPeriod": "duration",
}
_WORDS = {
    "text": "text", "bool": "true or false", "int": "a whole number", "map": "a mapping", "cidrs": "a list of CIDRs",
    "duration": "a duration such as 30s",
}  # fmt: skip
_RANGES: dict[str, tuple[int, int]] = {
    "oomScoreAdj": (-1000, 1000),
    "conntrack.maxPerCore": (0, 2**31 - 1),
    "conntrack.min": (0, 2**31 - 1),
    "iptables.masqueradeBit": (0, 31),
    "nftables.masqueradeBit": (0, 31),
}
_LOCAL = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", "")


def value_text(value: Any, unset: str = "unset") -> str:
    """A value as `--set` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return unset if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def refusals(values: Mapping[str, Any], mode: ProxyMode, version: str) -> Iterator[str]:
    """Why kube-proxy would exit with this configuration in this mode, one sentence each.

    Args:
        version: Of kube-proxy, `MAJOR.MINOR`.
    """
    for path in _KINDS:
        section, _, key = path.rpartition(".")
        holder = values.get(section) if section else values
        value = holder.get(key) if isinstance(holder, dict) else None
        if value is not None:
            yield from refused_value(path, value, mode)
    yield from _gates(values.get("featureGates") or {}, version)


def refused_value(path: str, value: Any, mode: ProxyMode | None = None) -> Iterator[str]:
    """Why kube-proxy would refuse the value of one field, one sentence each.

    Args:
        mode: The mode in force; None: that which the field is for.
    """
    kind = _KINDS.get(path, "bool")  # a feature gate
    section = path.partition(".")[0]
    if not _is(value, kind):
        yield f"{path} must be {_WORDS[kind]}, and is {str(value)[:40]!r}"
        return
    # Of the modes' sections only that of the mode in force is looked at, and iptables.masqueradeBit.
    foreign = section in PROXY_MODES and mode not in (None, section)
    if foreign and section != "iptables":
        return
    low, high = _RANGES.get(path, (0, 0))
    if path in _RANGES and not low <= value <= high:
        yield f"{path} must be from {low} to {high}, and is {value}"
    elif kind == "duration" and value.startswith("-") and section != "clientConnection" and not foreign:
        yield f"{path} must not be negative, and is {value}"
    elif kind == "cidrs":
        for text in value:
            if read_network(text) is None and not (path == "nodePortAddresses" and text in KEYWORDS):
                yield f"{path} holds {text[:40]!r}, which is not a CIDR such as 192.0.2.0/24"
    elif path == "ipvs.scheduler" and value and value not in SCHEDULERS:
        yield f"{path} {value[:40]!r} is not a scheduler; there are {', '.join(SCHEDULERS)}"
    elif path == "detectLocalMode" and value not in _LOCAL:
        yield f"{path} must be one of {', '.join(_LOCAL[:-1])}, and is {value[:40]!r}"
    elif path in ("healthzBindAddress", "metricsBindAddress") and value and not _is_address(value):
        yield f"{path} must be IP:PORT, and is {value[:40]!r}"
    elif path == "bindAddress" and value and read_address(value) is None:
        yield f"{path} must be an IP address, and is {value[:40]!r}"


def _is(value: object, kind: str) -> bool:
    if kind == "duration":
        # Go counts nanoseconds in 64 bits.
        return isinstance(value, str) and bool(DURATION.fullmatch(value)) and abs(seconds(value)) < 2**63 / 1e9
    if kind == "cidrs":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    wanted = {"bool": bool, "int": int, "map": dict}.get(kind, str)
    return isinstance(value, wanted) and (kind != "int" or not isinstance(value, bool))


def _is_address(text: str) -> bool:
    """`IP:PORT`; an address alone gets the usual port (pkg/proxy/apis/config/v1alpha1/defaults.go)."""
    host, _, port = text.rpartition(":")
    known = re.fullmatch("[0-9]{1,5}", port) is not None and int(port) < 65536
    return read_address(text) is not None or (known and read_address(host.strip("[]")) is not None)


def _gates(gates: Mapping[str, Any], version: str) -> Iterator[str]:
    known = kubelet_api(version)  # one table of gates for all programs of Kubernetes (pkg/features)
    for name, value in gates.items() if isinstance(gates, dict) else ():
        if not isinstance(value, bool):
            yield f"featureGates.{name} must be true or false, and is {str(value)[:40]!r}"
        elif known and name not in known.feature_gates:
            yield f"kube-proxy {version} has no feature gate {name[:40]}"
