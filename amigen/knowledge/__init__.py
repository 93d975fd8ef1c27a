"""What amigen knows of Kubernetes and kernels: a file per statement in `facts/`, with its source and day of checking.

Code asks these tables and holds no version number of its own. `tools/old-facts` lists what was checked long ago.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Struct

Architecture: TypeAlias = Literal["x86_64", "arm64"]
ProxyMode: TypeAlias = Literal["ipvs", "nftables", "iptables"]
Scheduler: TypeAlias = Literal["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"]
State = Literal["absent", "alpha", "beta", "stable", "deprecated", "gated", "removed"]
# (major, minor), of Kubernetes or of a kernel.
Version: TypeAlias = tuple[int, int]

FACTS = Path(__file__).parent / "facts"


class Fact(Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind", forbid_unknown_fields=True):
    """A statement, where it comes from, and the day it was last compared with that."""

    statement: str
    source: str
    checked: datetime.date


class ModeFact(Fact, frozen=True, kw_only=True, tag="mode"):
    """The state of a kube-proxy mode from one Kubernetes version on.

    Attributes:
        since: First Kubernetes version.
        state: `absent` and `removed` cannot work; `gated` works only with a feature gate.
        planned: True for what is announced and not released yet.
        gate: The feature gate of kube-proxy that rules the mode; where the state is `alpha` or `gated` it must be set
            to true, elsewhere it is on unless set to false.
    """

    mode: ProxyMode
    since: Version
    state: State
    planned: bool = False
    gate: str = ""


class GateFact(Fact, frozen=True, kw_only=True, tag="gate"):
    """A feature gate of kube-proxy that rules a mode, or which addresses it serves.

    Attributes:
        since: The first version that knows it; `until` the first that is planned not to, None: not announced.
        locked: From this version on its value is fixed, to `locked_to`.
    """

    name: str
    since: Version
    locked: Version | None = None
    locked_to: bool = True
    until: Version | None = None


class DifferenceFact(Fact, frozen=True, kw_only=True, tag="difference"):
    """What works otherwise in nftables mode.

    Attributes:
        remedy: What to do about it.
        set: Assignments for `--set`, with blanks between them; empty: kube-proxy has no setting for it.
        set_since: The first kube-proxy with that setting; None: each.
        kernel_below: It concerns older kernels alone; None: all.
        leaving: It concerns clusters that leave this mode alone; None: all.
    """

    remedy: str
    set: str = ""
    set_since: Version | None = None
    kernel_below: Version | None = None
    leaving: ProxyMode | None = None

    def advice(self, version: str) -> str:
        """What to do, with the options that this kube-proxy takes."""
        takes = self.set and (self.set_since is None or version_tuple(version) >= self.set_since)
        return self.remedy + (": " + " ".join(f"--set {one}" for one in self.set.split()) if takes else "")


class ValueFact(Fact, frozen=True, kw_only=True, tag="value"):
    """Numbers or names."""

    value: Any


F = TypeVar("F", bound=Fact)
_KINDS = ModeFact | GateFact | DifferenceFact | ValueFact


def read_facts(folder: Path = FACTS) -> dict[str, Fact]:
    """All facts by the name of their file, in order of names.

    Raises:
        msgspec.ValidationError: A file is not a fact.
    """
    return {file.stem: msgspec.yaml.decode(file.read_bytes(), type=_KINDS) for file in sorted(folder.glob("*.yaml"))}


_FACTS = read_facts()


def _all(kind: type[F]) -> tuple[F, ...]:
    return tuple(one for one in _FACTS.values() if isinstance(one, kind))


def _value(name: str, kind: Any) -> Any:
    found = _FACTS[name]
    assert isinstance(found, ValueFact)
    return msgspec.convert(found.value, kind)


# In order of version per mode; the last whose `since` is not above the version in question holds.
MODE_FACTS = tuple(sorted(_all(ModeFact), key=lambda one: (one.mode, one.since)))
GATES = _all(GateFact)
NFTABLES_DIFFERENCES = {name: one for name, one in _FACTS.items() if isinstance(one, DifferenceFact)}
# The first kube-proxy that takes `primary`, `localhost` and `all` among the CIDRs of nodePortAddresses.
NODE_PORT_KEYWORDS: Version = _value("node-port-keywords", Version)
SCHEDULERS: tuple[Scheduler, ...] = _value("ipvs-schedulers", tuple[Scheduler, ...])
GUIDE_SCHEDULERS = SCHEDULERS[:10]
PROXY_MODES: tuple[ProxyMode, ...] = get_args(ProxyMode)
NFTABLES_MIN_KERNEL: Version = _value("nftables-kernel", Version)
# Of kube-proxy's image, and of a node that has its own.
NFT_MINIMUM: tuple[int, ...] = _value("nft-minimum", tuple[int, ...])
_BITS = _value("conn-tab-bits", dict[str, Any])
# Up to `OLD_MAX` before this kernel.
CONN_TAB_BITS_KERNEL: Version = tuple(_BITS["kernel"])
CONN_TAB_BITS_OLD_MAX: int = _BITS["oldMax"]
KUBE_PROXY_SYSCTLS: dict[str, str] = _value("kube-proxy-sysctls", dict[str, str])
KUBE_PROXY_CONNTRACK_SYSCTLS: dict[str, str] = _value("kube-proxy-conntrack-sysctls", dict[str, str])
AWS_REGIONS: tuple[str, ...] = _value("aws-regions", tuple[str, ...])
IPVS_SETS: frozenset[str] = _value("ipvs-sets", frozenset[str])
# As the kernel has them: a name of a set has at most 31 characters (IPSET_MAXNAMELEN).
IPVS_IPV6_SETS = frozenset((_value("ipvs-cleanup", str) + name.removeprefix("KUBE-"))[:31] for name in IPVS_SETS)
MODE_MODULES: dict[ProxyMode, tuple[str, ...]] = _value("mode-modules", dict[ProxyMode, tuple[str, ...]])
IPVS_MODULES = MODE_MODULES["ipvs"]
MODE_PACKAGES: dict[ProxyMode, tuple[str, ...]] = _value("mode-packages", dict[ProxyMode, tuple[str, ...]])
# The kube-proxy that `warns` of an unset mode, and that `changes` what it means.
UNSET_MODE: Mapping[str, Version] = _value("default-mode", dict[str, Version])


def version_tuple(version: str) -> Version:
    """`"1.33"` (or `v1.33.4-eks-abc`) as `(1, 33)`; ValueError where it is not a version."""
    major, minor = version.lstrip("v").split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


# Kubernetes version -> last days of EKS's standard and extended support; "" where they are not known.
EKS_CALENDAR: dict[Version, tuple[str, str]] = {
    version_tuple(version): days for version, days in _value("eks-calendar", dict[str, tuple[str, str]]).items()
}
EKS_CALENDAR_AS_OF = str(_FACTS["eks-calendar"].checked)


def statement(name: str) -> str:
    """What a fact says, with its source."""
    return f"{_FACTS[name].statement} [{_FACTS[name].source}]"


def mode_fact(mode: ProxyMode, version: str) -> ModeFact:
    """What holds for `mode` in this Kubernetes version."""
    wanted = version_tuple(version)
    first, *_ = found = [one for one in MODE_FACTS if one.mode == mode]
    known = [one for one in found if one.since <= wanted]
    if known:
        return known[-1]
    return msgspec.structs.replace(first, since=(1, 0), state="absent", statement=f"does not exist in {version}")


def nft_clashes(nft: tuple[int, ...], version: str, patch: int | None) -> bool:
    """Whether kube-proxy's nft crashes on tables that this nft of the host makes.

    Args:
        nft: Version of the host's nft.
        version: kube-proxy's, `MAJOR.MINOR`.
        patch: Its patch version; None: not known, so any that clashes counts.
    """
    known = _value("nft-clash", dict[str, Any])
    fixed: dict[str, int] = known["fixed"]
    if nft < tuple(known["host"]):
        return False
    if version not in fixed:
        return version_tuple(version) < min(map(version_tuple, fixed))
    return fixed[version] > (patch or 0)


def scheduler_module(scheduler: str) -> str:
    """The kernel module of a scheduler: `rr` -> `ip_vs_rr` (net/netfilter/ipvs/)."""
    return f"ip_vs_{scheduler}"
