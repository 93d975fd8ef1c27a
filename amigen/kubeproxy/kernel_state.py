"""What kube-proxy sets in the kernel beside its tables in ipvs mode, and what that mode leaves behind. Pure.

Sources: NewProxier in pkg/proxy/ipvs/proxier.go of Kubernetes 1.37; Documentation/networking/ipvs-sysctl.rst of Linux.
"""

from __future__ import annotations

from amigen.base.words import shortened
from amigen.knowledge import IPVS_IPV6_SETS, IPVS_SETS, statement
from amigen.kubeproxy.config import ProxyConfig
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.services.difference import Findings
from amigen.spec.kubelet_values import seconds as seconds_of

_TIMEOUTS = ("tcpTimeout", "tcpFinTimeout", "udpTimeout")
# What strictARP sets.
_ARP = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
_RESTART = "kube-proxy sets it at its start: restart its DaemonSet; something else may have set it since"


def judge_settings(found: Findings, facts: NodeFacts, config: ProxyConfig) -> None:
    """Settings of ipvs mode that did not take effect; what is not known is not judged."""
    for key, seconds in zip(_TIMEOUTS, facts.timeouts or (), strict=False):
        # 0 and nothing leave the kernel's own.
        wanted = int(min(seconds_of(str(config.get(f"ipvs.{key}") or "")), 2**63))
        if wanted and wanted != seconds:
            says = f"ipvs.{key} is {seconds} s in the kernel, the configuration says {wanted} s"
            found.differs("setting", f"ipvs.{key}", says, _RESTART)
    for name, value in _ARP.items() if config.get("ipvs.strictARP") is True else ():
        if facts.sysctls.get(name, value) != value:
            says = f"{name} is {facts.sysctls[name]}, strictARP needs {value}"
            found.differs("setting", name, says, _RESTART)
    if facts.timeouts:
        found.facts.append("timeouts of {} s (TCP), {} s (TCP after FIN), {} s (UDP)".format(*facts.timeouts))


def judge_leftovers(found: Findings, facts: NodeFacts, subject: str, mode: str) -> None:
    """What ipvs mode has left on a node that uses another one now."""
    clean = f"left over from ipvs mode: {{}}, or replace the node; {statement('kube-proxy-cleanup')}"
    if mode == "nftables":
        clean = (
            "left over from ipvs mode: restart kube-proxy there (it cleans up at each start), else {}, or replace it"
        )
    if facts.bound is not None:
        says = f"kube-ipvs0 is still there with {len(facts.bound)} addresses"
        found.differs("stale-address", f"{subject} kube-ipvs0", says, clean.format("`ip link del kube-ipvs0`"))
    if facts.table is not None and facts.table.services:
        says = f"{len(facts.table.services)} virtual services are still there"
        found.differs("stale-service", f"{subject} IPVS table", says, clean.format("`ipvsadm -C`"))
    if facts.sets & IPVS_SETS:
        sets = sorted(facts.sets & (IPVS_SETS | IPVS_IPV6_SETS))
        says = f"{len(sets)} ipsets of ipvs mode are still there: {shortened(sets, 3)}"
        found.differs("leftover", f"{subject} ipsets", says, clean.format("`ipset destroy NAME` of each"))
    elif left := facts.sets & IPVS_IPV6_SETS:
        found.notes.append(
            f"{len(left)} IPv6 ipsets of ipvs mode are left over, and harmless: {statement('ipvs-cleanup')};"
            " `ipset destroy NAME` of each, or replace the node"
        )
    if all(facts.sysctls.get(name) == value for name, value in _ARP.items()):
        found.notes.append(
            "arp_ignore is 1 and arp_announce is 2, as strictARP of ipvs mode sets them; nothing of kube-proxy needs"
            " that now: set both to 0, or replace the node, unless something else needs it (MetalLB, keepalived)"
        )
    found.right("nothing of ipvs is left over", "mode", "stale-address", "stale-service", "leftover")
