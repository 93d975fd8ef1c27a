"""What kube-proxy sets in the kernel beside its tables in ipvs mode, and what that mode leaves behind. Pure.

Sources: NewProxier in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37; Documentation/networking/ipvs-sysctl.rst of Linux.
"""

from __future__ import annotations

from collections.abc import Iterator

from amigen.knowledge import IPVS_IPV6_SETS, IPVS_SETS, statement
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.services.difference import Difference
from amigen.spec.kubelet_values import seconds as seconds_of

_TIMEOUTS = ("tcpTimeout", "tcpFinTimeout", "udpTimeout")
# What strictARP sets.
_ARP = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
_EXPIRE = "net.ipv4.vs.expire_nodest_conn"
_RESTART = "kube-proxy sets it at its start: restart its DaemonSet; something else may have set it since"


def expires(found: NodeFacts) -> bool:
    """Whether the kernel ends a connection to a removed server at its next packet."""
    return found.sysctls.get(_EXPIRE) == "1"


def judge_settings(found: NodeFacts, config: ProxyConfig) -> Iterator[Difference]:
    """Settings of ipvs mode that did not take effect; what is not known is not judged."""
    for key, seconds in zip(_TIMEOUTS, found.timeouts or (), strict=False):
        # 0 and nothing leave the kernel's own.
        wanted = int(min(seconds_of(str(config.get(f"ipvs.{key}") or "")), 2**63))
        if wanted and wanted != seconds:
            says = f"ipvs.{key} is {seconds} s in the kernel, the configuration says {wanted} s"
            yield Difference("setting", f"ipvs.{key}", says, _RESTART)
    for name, value in _ARP.items() if config.get("ipvs.strictARP") is True else ():
        if found.sysctls.get(name, value) != value:
            says = f"{name} is {found.sysctls[name]}, strictARP needs {value}"
            yield Difference("setting", name, says, _RESTART)


def orphans(found: NodeFacts, subject: str, mode: str) -> Iterator[Difference]:
    """What ipvs mode has left on a node that uses another one now."""
    if mode == "nftables":
        clean = (
            "left over from ipvs mode: restart kube-proxy there (it cleans up at each start), else {}, or replace it"
        )
    else:
        clean = "left over from ipvs mode: {}, or replace the node; " + statement("kube-proxy-cleanup")
    if found.bound is not None:
        says = f"kube-ipvs0 is still there with {len(found.bound)} addresses"
        yield Difference("stale-address", f"{subject} kube-ipvs0", says, clean.format("`ip link del kube-ipvs0`"))
    if found.table is not None and found.table.services:
        says = f"{len(found.table.services)} virtual services are still there"
        yield Difference("stale-service", f"{subject} IPVS table", says, clean.format("`ipvsadm -C`"))
    if found.sets & IPVS_SETS:  # of IPv6 alone: see `notes`
        sets = sorted(found.sets & (IPVS_SETS | IPVS_IPV6_SETS))
        more = f" and {len(sets) - 3} more" if len(sets) > 3 else ""
        says = f"{len(sets)} ipsets of ipvs mode are still there: {', '.join(sets[:3])}{more}"
        yield Difference("leftover", f"{subject} ipsets", says, clean.format("`ipset destroy NAME` of each"))


def notes(found: NodeFacts, mode: str) -> Iterator[str]:
    """What is worth knowing of a node and is no difference."""
    if mode == "ipvs":
        if found.connections and found.table and expires(found):
            removed = found.connections.removed(found.table)
            if removed:
                yield (
                    f"{sum(removed.values())} connections go to {len(removed)} removed servers: the kernel ends each at"
                    f" its next packet, or when it times out ({_EXPIRE} is 1)"
                )
        return
    if found.sets & IPVS_IPV6_SETS and not found.sets & IPVS_SETS:
        yield (
            f"{len(found.sets & IPVS_IPV6_SETS)} IPv6 ipsets of ipvs mode are left over, and harmless:"
            f" {statement('ipvs-cleanup')}; `ipset destroy NAME` of each, or replace the node"
        )
    if all(found.sysctls.get(name) == value for name, value in _ARP.items()):
        yield (
            "arp_ignore is 1 and arp_announce is 2, as strictARP of ipvs mode sets them; nothing of kube-proxy needs"
            " that now: set both to 0, or replace the node, unless something else needs it (MetalLB, keepalived)"
        )
