"""kube-proxy's modes in this Kubernetes version, and what they need of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from amigen import knowledge
from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.model import Ipvs, NodeImage
from amigen.spec.rules.rule import problem, rule


@rule("kubernetesVersion", "kubeProxy.mode")
def mode_state(spec: NodeImage) -> Iterator[Problem]:
    """The chosen mode exists, and is not on its way out, in the chosen Kubernetes version."""
    mode, version = spec.kube_proxy.mode, spec.kubernetes_version
    fact = knowledge.mode_fact(mode, version)
    if fact.state == "stable":
        return
    working = [m for m in knowledge.PROXY_MODES if knowledge.mode_fact(m, version).state == "stable"]
    hint = f"stable in {version}: {', '.join(working)}"
    if mode == "ipvs" and "nftables" in working:
        hint += "; `amigen kube-proxy migrate` plans the way"
    yield Problem(
        severity="error" if fact.state in ("absent", "removed") else "warning",
        path="kubeProxy.mode",
        message=f"kube-proxy's {mode} mode: {fact.statement} (kubernetesVersion is {version})",
        hint=hint,
        source=fact.source,
    )


@rule("kubeProxy.mode")
def ipvs_only(spec: NodeImage) -> Iterator[Problem]:
    """Settings of ipvs make sense in ipvs mode only."""
    if spec.kube_proxy.mode != "ipvs" and spec.kube_proxy.ipvs != Ipvs():
        message = f"is set, but kubeProxy.mode is {spec.kube_proxy.mode}"
        yield problem("kubeProxy.ipvs", message, "remove it, or set kubeProxy.mode: ipvs")


@rule("kubeProxy.mode")
def scheduler_use(spec: NodeImage) -> Iterator[Problem]:
    """Say kindly that a scheduler sees one node's connections only."""
    scheduler = spec.kube_proxy.ipvs.scheduler
    if spec.kube_proxy.mode == "ipvs" and scheduler in ("lc", "wlc", "sed", "nq", "lblc", "lblcr"):
        yield Problem(
            severity="note",
            path="kubeProxy.ipvs.scheduler",
            message=f"{scheduler} balances the connections of this one node only, not those of all nodes",
            hint="rr works as well in most clusters",
            source="KEP-5495",
        )


@rule("kubernetesVersion", "platforms", "aws.baseImage")
def connection_table(spec: NodeImage) -> Iterator[Problem]:
    """Older kernels take at most 20 bits, and silently fall back to the default beyond."""
    bits = spec.kube_proxy.ipvs.conn_tab_bits
    if bits is None or bits <= knowledge.CONN_TAB_BITS_OLD_MAX:
        return
    eks = spec.aws.base_image == "eks"
    for platform in spec.platforms:
        kernel = PLATFORMS[platform].oldest_kernel(spec.kubernetes_version, eks_image=eks)
        if kernel < knowledge.CONN_TAB_BITS_KERNEL:
            series = ".".join(map(str, kernel))
            yield problem(
                "kubeProxy.ipvs.connTabBits",
                f"{bits} is too much for kernel {series} of {platform}: it would silently take the default, 12",
                f"at most {knowledge.CONN_TAB_BITS_OLD_MAX} before kernel 6.5",
                "linux commit 04292c695f82",
            )


@rule("kubernetesVersion", "platforms", "kubeProxy.mode", "aws.baseImage")
def nftables_kernel(spec: NodeImage) -> Iterator[Problem]:
    """The mode nftables needs kernel 5.13 or newer on every node."""
    if spec.kube_proxy.mode != "nftables":
        return
    for index, platform in enumerate(spec.platforms):
        kernel = PLATFORMS[platform].oldest_kernel(spec.kubernetes_version, eks_image=spec.aws.base_image == "eks")
        if kernel < knowledge.NFTABLES_MIN_KERNEL:
            message = f"{platform} comes with kernel {'.'.join(map(str, kernel))}; nftables mode needs 5.13 or newer"
            yield problem(f"platforms[{index}]", message, source="KEP-3866")
