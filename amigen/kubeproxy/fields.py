"""The fields of KubeProxyConfiguration: the kinds of their values, and what kube-proxy would not start with.

Sources: k8s.io/kube-proxy config/v1alpha1/types.go, and pkg/proxy/apis/config/validation/validation.go of Kubernetes
1.37, whose decoder and validation are the judge of this module (tests/kubeproxy/test_config_judge.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from amigen.knowledge import PROXY_MODES, SCHEDULERS
from amigen.services.model import read_address, read_network
from amigen.spec.kubelet_api import kubelet_api
from amigen.spec.kubelet_values import DURATION, seconds
from amigen.spec.values import ProxyMode

Value: TypeAlias = str | bool | int | list[str] | None

# In place of CIDRs (validateKubeProxyNodePortAddress in pkg/proxy/apis/config/validation).
KEYWORDS = ("primary", "localhost", "all")
# What kube-proxy takes for a field that is unset or 0s (pkg/proxy/apis/config/v1alpha1/defaults.go).
_SYNC_PERIOD = "30s"
_MIN_SYNC_PERIOD: dict[ProxyMode, str] = {"ipvs": "0s", "iptables": "1s", "nftables": "1s"}
_LOCAL = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")


@dataclass(frozen=True)
class Kind:
    """A kind of values: what it is in words, whether a value is of it, and the rule that its values keep to."""

    name: str
    is_one: Callable[[Any], bool]
    rule: str = ""
    keeps: Callable[[Any], object] = lambda _: True


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _is_whole(value: Any) -> bool:
    # A float that is whole is written as a whole number for the decoder, which has 32 bits for each.
    return _is(int, float)(value) and abs(value) < 2**31 and value == int(value)


def _is_duration(value: Any) -> bool:
    # Go counts nanoseconds in 64 bits.
    return isinstance(value, str) and bool(DURATION.fullmatch(value)) and abs(seconds(value)) < 2**63 / 1e9


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_endpoint(text: str) -> bool:
    """`IP:PORT`; an address alone gets the usual port (pkg/proxy/apis/config/v1alpha1/defaults.go)."""
    host, _, port = text.rpartition(":")
    known = re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 65536
    return not text or read_address(text) is not None or (known and read_address(host.strip("[]")) is not None)


def _are_cidrs(value: list[str]) -> bool:
    return all(read_network(text) for text in value)


def _are_node_ports(value: list[str]) -> bool:
    words = [text for text in value if text in KEYWORDS]
    return len(set(words)) == len(words) and all(text in KEYWORDS or read_network(text) for text in value)


_TEXT, _NUMBER = Kind("text", _is(str)), Kind("a whole number", _is_whole)
_DURATION = Kind("a duration such as 30s", _is_duration, "must not be negative", lambda value: seconds(value) >= 0)
_CIDRS = "a list of CIDRs such as 192.0.2.0/24"
_NODE_PORTS = f"must be {_CIDRS}, or {', '.join(KEYWORDS)}, each once"
_KINDS = {
    "map": Kind("a mapping", _is(dict)),
    "bool": Kind("true or false", _is(bool)),
    "number": Kind("a number", _is(int, float)),
    "natural": replace(_NUMBER, rule="must not be negative", keeps=lambda value: value >= 0),
    "bit": replace(_NUMBER, rule="must be from 0 to 31", keeps=lambda value: 0 <= value <= 31),
    "score": replace(_NUMBER, rule="must be from -1000 to 1000", keeps=lambda value: -1000 <= value <= 1000),
    "duration": _DURATION,
    "text": _TEXT,
    "scheduler": replace(_TEXT, rule=f"must be one of {', '.join(SCHEDULERS)}", keeps=("", *SCHEDULERS).__contains__),
    "local": replace(_TEXT, rule=f"must be one of {', '.join(_LOCAL)}", keeps=("", *_LOCAL).__contains__),
    "format": replace(_TEXT, rule="must be text or json", keeps=("", "text", "json").__contains__),
    "address": replace(_TEXT, rule="must be an IP address", keeps=lambda value: not value or read_address(value)),
    "endpoint": replace(_TEXT, rule="must be IP:PORT", keeps=_is_endpoint),
    "cidrs": Kind(_CIDRS, _is_texts, f"must be {_CIDRS}", _are_cidrs),
    "node ports": Kind(_CIDRS, _is_texts, _NODE_PORTS, _are_node_ports),
}


def _by_path(table: Mapping[str, str]) -> dict[str, str]:
    return {path: kind for kind, paths in table.items() for path in paths.split()}


# What `--set` takes beside feature gates, with its kind.
FIELDS = _by_path({
    "scheduler": "ipvs.scheduler",
    "bool": "ipvs.strictARP iptables.masqueradeAll nftables.masqueradeAll conntrack.tcpBeLiberal",
    "bit": "iptables.masqueradeBit nftables.masqueradeBit",
    "duration": "ipvs.syncPeriod ipvs.minSyncPeriod ipvs.tcpTimeout ipvs.tcpFinTimeout ipvs.udpTimeout"
    " iptables.syncPeriod iptables.minSyncPeriod nftables.syncPeriod nftables.minSyncPeriod"
    " conntrack.tcpEstablishedTimeout conntrack.tcpCloseWaitTimeout conntrack.udpTimeout conntrack.udpStreamTimeout",
    "cidrs": "ipvs.excludeCIDRs",
    "node ports": "nodePortAddresses",
})  # fmt: skip
# The other fields that kube-proxy has.
_KIND_OF = FIELDS | _by_path({
    "map": "clientConnection conntrack detectLocal featureGates iptables ipvs logging nftables winkernel",
    "bool": "bindAddressHardFail enableProfiling windowsRunAsService iptables.localhostNodePorts winkernel.enableDSR"
    " winkernel.forwardHealthCheckVip",
    "number": "clientConnection.qps",
    "natural": "conntrack.maxPerCore conntrack.min clientConnection.burst logging.verbosity",
    "score": "oomScoreAdj",
    "duration": "configSyncPeriod",
    "text": "mode clusterCIDR clientConnection.kubeconfig clientConnection.contentType"
    " clientConnection.acceptContentTypes detectLocal.bridgeInterface detectLocal.interfaceNamePrefix hostnameOverride"
    " portRange showHiddenMetricsForVersion winkernel.networkName winkernel.sourceVip winkernel.rootHnsEndpointName",
    "local": "detectLocalMode",
    "format": "logging.format",
    "address": "bindAddress",
    "endpoint": "healthzBindAddress metricsBindAddress",
})  # fmt: skip
_POINTERS = ("tcpEstablishedTimeout", "tcpCloseWaitTimeout")  # the only durations that may be null


def kind_of(path: str) -> str:
    """The kind of a field, or of a feature gate."""
    return _KIND_OF.get(path, "bool")


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
    for path, kind in _KIND_OF.items():
        section, _, key = path.rpartition(".")
        holder = values.get(section) if section else values
        value = holder.get(key) if isinstance(holder, dict) else None
        if value is not None:
            yield from refused_value(path, value, mode)
        elif kind == "duration" and isinstance(holder, dict) and key in holder and key not in _POINTERS:
            yield f"{path} must be {_DURATION.name}, and is null"
    yield from _contradictions(values, mode)
    yield from _of_version(values, version)


def refused_value(path: str, value: Any, mode: ProxyMode | None = None) -> Iterator[str]:
    """Why kube-proxy would refuse the value of one field, in one sentence.

    Args:
        mode: The mode in force; None: that which the field is for.
    """
    kind = _KINDS[kind_of(path)]
    section, _, key = path.partition(".")
    if not kind.is_one(value):
        yield f"{path} must be {kind.name}, and is {str(value)[:40]!r}"
    elif not kind.keeps(value):
        # Of the sections of other modes kube-proxy does not look at these.
        foreign = section in PROXY_MODES and mode not in (None, section)
        if not foreign or (section != "nftables" and key not in ("syncPeriod", "minSyncPeriod", "scheduler")):
            wrong = [each for each in value if not kind.keeps([each])] if isinstance(value, list) else ""
            yield f"{path} {kind.rule}, and {'has' if wrong else 'is'} {value_text(wrong or value)[:40]!r}"


def _contradictions(values: Mapping[str, Any], mode: ProxyMode) -> Iterator[str]:
    """Fields that do not go together."""
    section = values.get(mode) or {}
    longest = _period(section.get("syncPeriod"), _SYNC_PERIOD)
    shortest = _period(section.get("minSyncPeriod"), _MIN_SYNC_PERIOD[mode])
    if seconds(shortest) > seconds(longest):
        yield (
            f"{mode}.minSyncPeriod={shortest} is longer than {mode}.syncPeriod={longest}; of what is unset or 0s"
            f" kube-proxy takes its defaults ({_SYNC_PERIOD} and {_MIN_SYNC_PERIOD[mode]})"
        )
    needed = {"BridgeInterface": "bridgeInterface", "InterfaceNamePrefix": "interfaceNamePrefix"}
    local = str(values.get("detectLocalMode"))
    if local in needed and not (values.get("detectLocal") or {}).get(needed[local]):
        yield f"detectLocalMode {local} needs detectLocal.{needed[local]}"


def _period(value: Value, default: str) -> str:
    return value if isinstance(value, str) and _is_duration(value) and seconds(value) > 0 else default


def _of_version(values: Mapping[str, Any], version: str) -> Iterator[str]:
    """Gates that this version does not have, and metrics that it does not hide."""
    known = kubelet_api(version)  # one table of gates for all programs of Kubernetes (pkg/features)
    gates = values.get("featureGates") or {}
    for name, value in gates.items() if isinstance(gates, dict) else ():
        if not isinstance(value, bool):
            yield f"featureGates.{name} must be true or false, and is {str(value)[:40]!r}"
        elif known and name not in known.feature_gates:
            yield f"kube-proxy {version} has no feature gate {name[:40]}"
    shown, before = values.get("showHiddenMetricsForVersion"), f"1.{int(version.split('.')[1]) - 1}"
    if isinstance(shown, str) and shown not in ("", before):
        yield f"showHiddenMetricsForVersion must be {before} or unset, and is {shown[:40]!r}"
