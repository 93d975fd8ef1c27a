"""What amigen knows of Kubernetes and kernels: data, each fact with its source.

Code asks these tables and holds no version number of its own.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct

Architecture: TypeAlias = Literal["x86_64", "arm64"]
ProxyMode: TypeAlias = Literal["ipvs", "nftables", "iptables"]
# The ten of "Running kube-proxy in IPVS Mode" (EKS best practices), and mh, which kubernetes.io lists (website PR
# 48235). Since 1.27 kube-proxy's validation has no list: it adds a virtual service with the scheduler, and the kernel
# decides (pkg/proxy/ipvs/supported.go; tests/kubeproxy/test_rules.py asks its validation). kube-proxy sets mh-port.
Scheduler: TypeAlias = Literal["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"]

SCHEDULERS: tuple[Scheduler, ...] = get_args(Scheduler)
GUIDE_SCHEDULERS = SCHEDULERS[:10]
PROXY_MODES: tuple[ProxyMode, ...] = get_args(ProxyMode)

State = Literal["absent", "alpha", "beta", "stable", "deprecated", "gated", "removed"]

_KEP_IPVS = "KEP-5495, https://github.com/kubernetes/enhancements/issues/5495"
_KEP_EXTERNAL = "KEP-5707, https://github.com/kubernetes/enhancements/issues/5707"
_KEP_LOCALHOST = "KEP-6032, https://github.com/kubernetes/enhancements/issues/6032"
_KEP_NFT = "KEP-3866, https://github.com/kubernetes/enhancements/issues/3866"


class ModeFact(Struct, frozen=True, kw_only=True):
    """The state of a kube-proxy mode from one Kubernetes version on.

    Attributes:
        since: First Kubernetes version, as (major, minor).
        state: `absent` and `removed` cannot work; `gated` works only with a feature gate.
        says: What it means for the user, one sentence.
        planned: True for what is announced and not released yet.
        gate: The feature gate of kube-proxy that rules the mode; where the state is `alpha` or `gated` it must be set
            to true, elsewhere it is on unless set to false.
    """

    mode: ProxyMode
    since: tuple[int, int]
    state: State
    says: str
    source: str
    planned: bool = False
    gate: str = ""


# In order of version per mode; the last whose `since` is not above the version in question holds.
MODE_FACTS: tuple[ModeFact, ...] = (
    ModeFact(
        mode="iptables",
        since=(1, 2),
        state="stable",
        says="the default on Linux",
        source="https://kubernetes.io/docs/reference/networking/virtual-ips/",
    ),
    ModeFact(mode="ipvs", since=(1, 11), state="stable", says="stable", source=_KEP_IPVS),
    ModeFact(
        mode="ipvs",
        since=(1, 35),
        state="deprecated",
        says="deprecated since 1.35: kube-proxy warns at start; nftables is the successor",
        source=_KEP_IPVS,
    ),
    ModeFact(
        mode="ipvs",
        since=(1, 37),
        state="deprecated",
        says="deprecated; since 1.37 under the feature gate KubeProxyIPVS, which is on; nftables is the successor",
        source=_KEP_IPVS,
        gate="KubeProxyIPVS",
    ),
    ModeFact(
        mode="ipvs",
        since=(1, 40),
        state="gated",
        gate="KubeProxyIPVS",
        says="planned to be off by default from 1.40 on: kube-proxy exits unless the feature gate KubeProxyIPVS is set",
        source=_KEP_IPVS,
        planned=True,
    ),
    ModeFact(
        mode="ipvs",
        since=(1, 43),
        state="removed",
        says="planned to be removed in 1.43; use nftables",
        source=_KEP_IPVS,
        planned=True,
    ),
    ModeFact(mode="nftables", since=(1, 0), state="absent", says="does not exist before 1.29", source=_KEP_NFT),
    ModeFact(
        mode="nftables",
        since=(1, 29),
        state="alpha",
        gate="NFTablesProxyMode",
        says="alpha in 1.29 and 1.30: needs the feature gate NFTablesProxyMode",
        source=_KEP_NFT,
    ),
    ModeFact(
        mode="nftables",
        since=(1, 31),
        state="beta",
        says="beta from 1.31 to 1.32",
        source=_KEP_NFT,
        gate="NFTablesProxyMode",
    ),
    ModeFact(
        mode="nftables",
        since=(1, 33),
        state="stable",
        says="stable since 1.33; needs kernel 5.13 or newer",
        source=_KEP_NFT,
    ),
)


class GateFact(Struct, frozen=True, kw_only=True):
    """A feature gate of kube-proxy that rules a mode, or which addresses it serves.

    Attributes:
        since: The first version that knows it; `until` the first that is planned not to, None: not announced.
        locked: From this version on its value is fixed, to `locked_to`.
    """

    name: str
    since: tuple[int, int]
    source: str
    locked: tuple[int, int] | None = None
    locked_to: bool = True
    until: tuple[int, int] | None = None


GATES: tuple[GateFact, ...] = (
    GateFact(name="NFTablesProxyMode", since=(1, 29), locked=(1, 33), source=_KEP_NFT),
    GateFact(name="KubeProxyIPVS", since=(1, 37), locked=(1, 43), locked_to=False, until=(1, 46), source=_KEP_IPVS),
    # pkg/features/kube_features.go of 1.37.2 has both; 1.36.3 has the first alone.
    GateFact(name="AllowServiceExternalIPs", since=(1, 36), locked=(1, 43), locked_to=False, source=_KEP_EXTERNAL),
    GateFact(name="KubeProxyNFTablesLocalhostNodePorts", since=(1, 37), source=_KEP_LOCALHOST),
)

# kube-proxy refuses nftables mode below this kernel (KEP-3866; pkg/proxy/nftables/supported.go).
NFTABLES_MIN_KERNEL = (5, 13)
# `conn_tab_bits` is 8 to 20 before, up to 27 from this kernel on, on 64-bit (linux commit 04292c695f82).
CONN_TAB_BITS_KERNEL = (6, 5)
CONN_TAB_BITS_DEFAULT = 12
CONN_TAB_BITS_OLD_MAX = 20

# Set by kube-proxy itself at every start, in ipvs mode (pkg/proxy/ipvs/proxier.go, NewProxier): an image that sets them
# fights kube-proxy, and net.ipv4.vs.* does not exist before ip_vs is loaded.
KUBE_PROXY_SYSCTLS: dict[str, str] = {
    "net.ipv4.vs.conntrack": "kube-proxy sets it in ipvs mode",
    "net.ipv4.vs.conn_reuse_mode": "kube-proxy sets it in ipvs mode",
    "net.ipv4.vs.expire_nodest_conn": "kube-proxy sets it in ipvs mode",
    "net.ipv4.vs.expire_quiescent_template": "kube-proxy sets it in ipvs mode",
    "net.ipv4.ip_forward": "kube-proxy sets it",
    "net.ipv4.conf.all.arp_ignore": "kube-proxy sets it where kubeProxy.ipvs.strictARP is true",
    "net.ipv4.conf.all.arp_announce": "kube-proxy sets it where kubeProxy.ipvs.strictARP is true",
}


# Kubernetes version -> last days of EKS's standard and extended support; "" where they are not known here. Standard
# support takes 14 months from the release on EKS, extended support 12 more.
# Source: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html
EKS_CALENDAR: dict[tuple[int, int], tuple[str, str]] = {
    (1, 28): ("2024-11-26", "2025-11-26"),
    (1, 29): ("2025-03-23", "2026-03-23"),
    (1, 30): ("2025-07-23", "2026-07-23"),
    (1, 31): ("2025-11-26", "2026-11-26"),
    (1, 32): ("2026-03-23", "2027-03-23"),
    (1, 33): ("2026-07-29", "2027-07-29"),
    (1, 34): ("2026-12-02", "2027-12-02"),
    (1, 35): ("2027-03-27", "2028-03-27"),
    (1, 36): ("", ""),
    (1, 37): ("2027-12-01", "2028-12-01"),
}
EKS_CALENDAR_AS_OF = "2026-11-29"
# All regions of AWS in November 2026 (botocore's endpoints.json).
AWS_REGIONS = tuple(
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1
    me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2 cn-north-1 cn-northwest-1 us-gov-east-1
    us-gov-west-1 us-iso-east-1 us-iso-west-1 us-isob-east-1 us-isob-west-1 eu-isoe-west-1 us-isof-east-1
    us-isof-south-1 eusc-de-east-1
    """.split()  # noqa: SIM905 - a line for each name would be a page
)


# Set at every start from kube-proxy's own `conntrack` settings, where those are not 0: KubeProxyConntrackConfiguration,
# https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
KUBE_PROXY_CONNTRACK_SYSCTLS: dict[str, str] = {
    "net.netfilter.nf_conntrack_max": "conntrack.maxPerCore",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "conntrack.tcpEstablishedTimeout",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "conntrack.tcpCloseWaitTimeout",
}


def version_tuple(version: str) -> tuple[int, int]:
    """`"1.33"` (or `v1.33.4-eks-abc`) as `(1, 33)`; ValueError where it is not a version."""
    major, minor = version.lstrip("v").split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def mode_fact(mode: ProxyMode, version: str) -> ModeFact:
    """What holds for `mode` in this Kubernetes version."""
    wanted = version_tuple(version)
    found = None
    for fact in MODE_FACTS:
        if fact.mode == mode and fact.since <= wanted:
            found = fact
    if found is None:
        return ModeFact(mode=mode, since=(1, 0), state="absent", says=f"does not exist in {version}", source=_KEP_IPVS)
    return found


def scheduler_module(scheduler: str) -> str:
    """The kernel module of a scheduler: `rr` -> `ip_vs_rr` (net/netfilter/ipvs/)."""
    return f"ip_vs_{scheduler}"


# The twelve modules of "Running kube-proxy in IPVS Mode" (EKS best practices), in its order.
IPVS_MODULES: tuple[str, ...] = ("ip_vs", *(scheduler_module(s) for s in GUIDE_SCHEDULERS), "nf_conntrack")
MODE_MODULES: dict[ProxyMode, tuple[str, ...]] = {
    "ipvs": IPVS_MODULES,
    # kube-proxy's tables need these before its first `nft -f`; the kernel loads the expression modules (nft_ct,
    # nft_fib, ...) on use (https://github.com/kubernetes/kubernetes pkg/proxy/nftables).
    "nftables": ("nf_tables", "nf_conntrack"),
    "iptables": ("nf_conntrack",),
}
# Diagnosis on the node; kube-proxy brings its own tools, and in ipvs mode speaks netlink.
MODE_PACKAGES: dict[ProxyMode, tuple[str, ...]] = {"ipvs": ("ipvsadm",), "nftables": ("nftables",), "iptables": ()}
