"""Whether a mode can work with a kube-proxy of one version."""

from __future__ import annotations

import re
from collections.abc import Mapping

from amigen.errors import InputError, RefusedError
from amigen.knowledge import MODE_FACTS, PROXY_MODES, ModeFact, mode_fact
from amigen.spec.values import ProxyMode


def minor_version(text: str, what: str) -> str:
    """`v1.33.4-eks-1a2b` as `1.33`.

    Raises:
        InputError: It is no Kubernetes version.
    """
    match = re.match(r"v?(1)\.([0-9]{1,3})(?:[.+-]|$)", text)
    if match is None:
        raise InputError(f"{what} {text!r} is not a Kubernetes version", "such as 1.33")
    return f"{match[1]}.{match[2]}"


def why_not(mode: ProxyMode, version: str, gates: Mapping[str, object]) -> RefusedError | None:
    """Why kube-proxy of this version would exit in this mode; None where it works.

    Args:
        mode: The mode in question.
        version: Of kube-proxy, `MAJOR.MINOR`.
        gates: `featureGates` as they will be.
    """
    fact = mode_fact(mode, version)
    usable = ", ".join(other for other in PROXY_MODES if other != mode and _works(other, version))
    if fact.state in ("absent", "removed"):
        return RefusedError(
            f"{mode} cannot work with kube-proxy {version}: {fact.says} [{fact.source}]", f"modes that work: {usable}"
        )
    if fact.gate and fact.state in ("alpha", "gated") and gates.get(fact.gate) is not True:
        return RefusedError(
            f"{mode} is {fact.state} in kube-proxy {version} and the feature gate {fact.gate} is not set: {fact.says}"
            f" [{fact.source}]",
            f"set it on purpose with --set featureGates.{fact.gate}=true (not through the EKS add-on), or use {usable}",
        )
    if fact.gate and gates.get(fact.gate) is False:
        return RefusedError(
            f"{mode} cannot work: the configuration turns the feature gate {fact.gate} off [{fact.source}]",
            f"turn it on with --set featureGates.{fact.gate}=true, or use {usable}",
        )
    return None


def _works(mode: ProxyMode, version: str) -> bool:
    return mode_fact(mode, version).state in ("beta", "stable", "deprecated")


def states(version: str) -> tuple[ModeFact, ...]:
    """What holds for each mode in this version, and what is announced to change."""
    now = tuple(mode_fact(mode, version) for mode in PROXY_MODES)
    return now + tuple(fact for fact in MODE_FACTS if fact.planned and fact not in now and fact.since > now[0].since)
