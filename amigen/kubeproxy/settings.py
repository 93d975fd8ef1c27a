"""What a user wants of kube-proxy: a mode and fields of KubeProxyConfiguration, checked as kube-proxy checks them.

Source: https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go, and pkg/proxy/apis/config/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from amigen.base.errors import InputError
from amigen.base.words import nearest
from amigen.knowledge import PROXY_MODES, SCHEDULERS
from amigen.kubeproxy.fields import FIELDS, Value, kind_of, refused_value
from amigen.spec.kubelet_values import seconds
from amigen.spec.model import NodeImage
from amigen.spec.values import ProxyMode

_GATE = re.compile(r"featureGates\.[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is wanted.

    Attributes:
        mode: kube-proxy's mode.
        fields: Dotted path in KubeProxyConfiguration -> value; only what is to be set, nothing else is touched.
    """

    mode: ProxyMode
    fields: Mapping[str, Value] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, Value]:
        """All paths with their values, the mode among them."""
        return {"mode": self.mode, **self.fields}


def read_field(assignment: str) -> tuple[str, Value]:
    """`ipvs.tcpTimeout=15m` as path and typed value.

    Raises:
        InputError: Unknown path, or a value that kube-proxy would refuse.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise InputError(f"--set {assignment!r} is not PATH=VALUE", "such as --set ipvs.strictARP=true")
    if path not in FIELDS and not _GATE.fullmatch(path):
        near = nearest(path, FIELDS)
        raise InputError(
            f"--set {path}: amigen does not know this field of KubeProxyConfiguration",
            f"did you mean {near}?" if near else "known are " + ", ".join(FIELDS) + " and featureGates.NAME",
        )
    kind, value = kind_of(path), cast("Value", text)
    if kind == "bool":
        value = {"true": True, "false": False}.get(text, text)
    elif kind == "bit":
        value = int(text) if re.fullmatch("[0-9]{1,9}", text) else text
    elif kind in ("cidrs", "node ports"):
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif path == "ipvs.scheduler":
        scheduler(text)
    for why in refused_value(path, value):
        raise InputError(f"--set {assignment}: {why}")
    if path.endswith(".syncPeriod") and seconds(text) == 0:
        raise InputError(f"--set {assignment}: must be greater than 0")
    return path, value


def scheduler(text: str) -> str:
    """A scheduler that kube-proxy takes where the kernel has it.

    Up to 1.26 its validation knew ten of them, without mh; since then it tries what it is given
    (https://github.com/kubernetes/kubernetes/pull/114878).
    """
    if text in SCHEDULERS:
        return text
    near = nearest(text, SCHEDULERS)
    raise InputError(
        f"{text!r} is not a scheduler that kube-proxy accepts",
        (f"did you mean {near}? " if near else "") + f"they are {', '.join(SCHEDULERS)}",
    )


def refuse_foreign(settings: Settings) -> None:
    """Raise InputError where a field has no effect in the mode."""
    mode = settings.mode
    # ipvs mode takes masqueradeAll and masqueradeBit from the iptables section (NewProxier in cmd/kube-proxy).
    shared = (mode, "featureGates", "nodePortAddresses", "conntrack")
    foreign = [
        path
        for path in settings.fields
        if path.split(".")[0] not in shared and not (mode == "ipvs" and path.startswith("iptables.masquerade"))
    ]
    if foreign:
        raise InputError(
            f"{', '.join(foreign)}: has no effect in {mode} mode",
            f"set fields of {mode}, or choose another --mode",
        )


def settings_of(
    mode: ProxyMode | None, scheduler: str | None, assignments: Iterable[str], spec: NodeImage | None
) -> Settings:
    """Options and spec as settings; what the options say beats the spec.

    Args:
        mode: None: that of the spec.
        assignments: `PATH=VALUE`.
        spec: Gives mode, scheduler and strictARP.

    Raises:
        InputError: Nothing says the mode, or a field is wrong.
    """
    fields: dict[str, Value] = {}
    if spec:
        wanted = spec.kube_proxy
        mode = mode or wanted.mode
        if mode == "ipvs":
            fields["ipvs.scheduler"] = wanted.ipvs.scheduler
            fields |= {"ipvs.strictARP": True} if wanted.ipvs.strict_arp else {}
    if mode is None:
        raise InputError("no mode given", f"--mode {'|'.join(PROXY_MODES)}, or --spec FILE")
    named = [*assignments, *([f"ipvs.scheduler={scheduler}"] if scheduler else [])]
    fields |= dict(read_field(each) for each in named)
    return Settings(mode=mode, fields=fields)
