"""Whether a mode can work with a kube-proxy of one version."""

from __future__ import annotations

import re
from collections.abc import Mapping

from amigen.base.errors import InputError, RefusedError
from amigen.knowledge import (
    GATES,
    MODE_FACTS,
    NODE_PORT_KEYWORDS,
    PROXY_MODES,
    UNSET_MODE,
    ModeFact,
    State,
    mode_fact,
    statement,
    version_tuple,
)
from amigen.kubeproxy.fields import KEYWORDS, Value
from amigen.spec.values import ProxyMode


def minor_version(text: str, what: str) -> str:
    """`v1.33.4-eks-1a2b` as `1.33`.

    Raises:
        InputError: It is no Kubernetes version.
    """
    match = re.match(r"v?(1\.[0-9]{1,3})(?:[.+-]|$)", text)
    if match is None:
        raise InputError(f"{what} {text!r} is not a Kubernetes version", "such as 1.33")
    return match[1]


def patch_version(text: str) -> int | None:
    """The 4 of `v1.33.4-eks-1a2b`; None where it has none."""
    match = re.match(r"v?1\.[0-9]{1,3}\.([0-9]{1,3})(?:[.+-]|$)", text)
    return int(match[1]) if match else None


def kernel_below(kernel: str, minimum: tuple[int, int]) -> bool:
    """Whether a kernel release is older; False where it cannot be read."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", kernel)
    return match is not None and (int(match[1]), int(match[2])) < minimum


def unset_mode(mode: object, version: str) -> str:
    """What an empty mode means for a kube-proxy that warns of it; empty where a mode is set."""
    if mode or version_tuple(version) < UNSET_MODE["warns"]:
        return ""
    return f"mode is unset: {statement('default-mode')}; set one: `amigen kube-proxy apply --mode iptables`"


def keywords_refused(addresses: Value, version: str) -> RefusedError | None:
    """Why kube-proxy of this version would refuse these nodePortAddresses; None where it takes them."""
    words = [one for one in addresses if one in KEYWORDS] if isinstance(addresses, list) else []
    if not words or addresses == ["primary"] or version_tuple(version) >= NODE_PORT_KEYWORDS:
        return None
    return RefusedError(
        f"kube-proxy {version} refuses nodePortAddresses with {', '.join(words)}: {statement('node-port-keywords')}",
        "name CIDRs, or primary alone",
    )


def why_not(mode: ProxyMode, version: str, gates: Mapping[str, object]) -> RefusedError | None:
    """Why kube-proxy of this version would exit in this mode; None where it works.

    Args:
        version: Of kube-proxy, `MAJOR.MINOR`.
        gates: `featureGates` as they will be.
    """
    fact = mode_fact(mode, version)
    good = ("beta", "stable", "deprecated")
    usable = ", ".join(one for one in PROXY_MODES if one != mode and mode_fact(one, version).state in good)
    if fact.state in ("absent", "removed"):
        return RefusedError(
            f"{mode} cannot work with kube-proxy {version}: {fact.statement} [{fact.source}]",
            f"modes that work: {usable}",
        )
    if fact.gate and fact.state in ("alpha", "gated") and gates.get(fact.gate) is not True:
        return RefusedError(
            f"{mode} is {fact.state} in kube-proxy {version} and the feature gate {fact.gate} is not set:"
            f" {fact.statement} [{fact.source}]",
            f"set it on purpose with --set featureGates.{fact.gate}=true (not through the EKS add-on), or use {usable}",
        )
    if fact.gate and gates.get(fact.gate) is False:
        return RefusedError(
            f"{mode} cannot work: the configuration turns the feature gate {fact.gate} off [{fact.source}]",
            f"turn it on with --set featureGates.{fact.gate}=true, or use {usable}",
        )
    return None


# From good to bad; what comes before is as good as `stable` here, because it only gets better.
_RANK: Mapping[State, int] = {"deprecated": 1, "gated": 2, "removed": 3}


def states(version: str) -> tuple[ModeFact, ...]:
    """What holds for each mode in this version, and each worse state that is to come."""
    now = tuple(mode_fact(mode, version) for mode in PROXY_MODES)
    return now + tuple(fact for mode in PROXY_MODES for fact in worse(mode, version))


def worse(mode: ProxyMode, version: str) -> tuple[ModeFact, ...]:
    """The states of a mode after this version that are each worse than the one before, the next one first."""
    found, rank = [], _RANK.get(mode_fact(mode, version).state, 0)
    for fact in MODE_FACTS:
        if fact.mode == mode and fact.since > version_tuple(version) and _RANK.get(fact.state, 0) > rank:
            rank = _RANK[fact.state]
            found.append(fact)
    return tuple(found)


def gates_refused(gates: Mapping[str, object], version: str) -> RefusedError | None:
    """Why kube-proxy of this version would exit for a feature gate that rules a mode; None where it takes them.

    It refuses a gate that it does not have, and one whose value is fixed (SetFromMap of k8s.io/component-base).
    """
    for gate in GATES:
        value, now = gates.get(gate.name), version_tuple(version)
        if value is None:
            continue
        why = ""
        if now < gate.since:
            why = f"it exists since {'.'.join(map(str, gate.since))}"
        elif gate.until and now >= gate.until:
            why = f"it is planned to be gone from {'.'.join(map(str, gate.until))} on"
        elif gate.locked and now >= gate.locked and value is not gate.locked_to:
            why = f"it is fixed to {str(gate.locked_to).lower()} since {'.'.join(map(str, gate.locked))}"
        if why:
            return RefusedError(
                f"kube-proxy {version} exits with featureGates.{gate.name}={str(value).lower()}: {why} [{gate.source}]",
                f"leave featureGates.{gate.name} out of the configuration",
            )
    return None
