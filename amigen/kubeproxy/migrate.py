"""The way from ipvs or iptables to nftables: what each setting becomes, what nodes need, what to clean up. Pure.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and "Migrating from iptables
mode to nftables" below it; https://kubernetes.io/blog/2025/02/28/nftables-kube-proxy/; KEP-3866; and
https://github.com/kubernetes/kube-proxy config/v1alpha1/types.go for the fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from amigen.base.errors import InputError, RefusedError
from amigen.base.files import read_text, require_writable
from amigen.knowledge import MODE_MODULES, NFTABLES_MIN_KERNEL, PROXY_MODES, ModeFact, mode_fact, statement
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.nftables_mapping import Row, differences, nftables_mapping
from amigen.kubeproxy.observe import KubeProxy
from amigen.kubeproxy.readiness import Readiness, readiness
from amigen.kubeproxy.versions import minor_version, patch_version, why_not
from amigen.platforms import platform_of_os_image
from amigen.spec.load import parse_spec
from amigen.spec.model import API_VERSION
from amigen.spec.values import Name

# As the spec has it.
_NAME = re.compile(get_args(Name)[1].extra_json_schema["pattern"])
NFT_NEEDED = f"nft: {statement('nft-minimum')}; a node needs its own only for diagnosis"


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The whole way.

    Attributes:
        differences: What works otherwise in nftables mode and is no setting, with its remedy.
        strangers: Operating systems of nodes for which amigen makes no image.
    """

    mode: str
    version: str
    state: ModeFact
    blocked: RefusedError | None
    settings: tuple[Row, ...]
    differences: tuple[str, ...]
    needs: tuple[str, ...]
    nodes: tuple[Readiness, ...]
    steps: tuple[str, ...]
    cleanup: tuple[str, ...]
    spec: str
    strangers: tuple[str, ...]


def plan_migration(proxy: KubeProxy, name: str, server_version: str = "") -> Migration:
    """Plan it.

    Args:
        name: Of the image spec.
        server_version: The cluster's, for the image spec; empty: as kube-proxy.

    Raises:
        InputError: Not a mode of Linux, or not a name of a spec.
    """
    config, version = proxy.config, proxy.proxy_version
    if config.mode not in PROXY_MODES:
        raise InputError(
            f"{config.where}: mode {config.mode!r} is not a mode of kube-proxy on Linux",
            "userspace was removed in Kubernetes 1.26; kernelspace is for Windows",
        )
    if not _NAME.fullmatch(name):
        raise InputError(f"--name {name!r} is not a name for a spec", "1 to 48 lower-case letters, digits and `-`")
    rows = nftables_mapping(proxy)
    systems = {node.os_image: platform_of_os_image(node.os_image) for node in proxy.nodes}
    return Migration(
        mode=config.mode,
        version=version,
        state=mode_fact("nftables", version),
        blocked=why_not("nftables", version, dict(config.get("featureGates") or {})),
        settings=rows,
        differences=tuple(differences(proxy)) if config.mode != "nftables" else (),
        nodes=tuple(readiness(one, "nftables", "", gathered=proxy.gathered.get(one.name)) for one in proxy.nodes),
        needs=_NEEDS,
        cleanup=_cleanup(config.mode),
        steps=_steps(rows),
        spec=_spec(sorted(filter(None, set(systems.values()))), server_version or version, name),
        strangers=tuple(sorted({system or "unknown" for system, platform in systems.items() if not platform})),
    )


def migration_of_file(file: str, kubernetes_version: str, name: str) -> Migration:
    """Plan it for a KubeProxyConfiguration in a file."""
    version, patch = minor_version(kubernetes_version, "--kubernetes-version"), patch_version(kubernetes_version)
    config = read_config(read_text(file), file)
    return plan_migration(KubeProxy(config=config, proxy_version=version, proxy_patch=patch), name)


def require_new(file: str) -> None:
    """Raise InputError where no image spec could be written: before the cluster is asked."""
    require_writable(Path(file))
    if os.path.lexists(Path(file)):
        raise InputError(f"{Path(file)} already exists", "choose another file")


def write_image_spec(found: Migration, file: str) -> None:
    """Write the image spec of a migration.

    Raises:
        InputError: There is such a file, or it cannot be written.
    """
    parse_spec(found.spec, file)  # what is written must be one
    try:
        with Path(file).open("x", encoding="utf-8") as stream:
            stream.write(found.spec)
    except FileExistsError:
        raise InputError(f"{Path(file)} already exists", "choose another file") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


_NEEDS = (
    f"kernel {'.'.join(map(str, NFTABLES_MIN_KERNEL))} or newer on every node; kube-proxy exits on an older one",
    f"kernel modules {', '.join(MODE_MODULES['nftables'])}; the kernel loads the expression modules on use",
    NFT_NEEDED,
    "a network plugin that goes with it: ask its documentation for nftables kube-proxy",
)


def _cleanup(mode: str) -> tuple[str, ...]:
    if mode == "nftables":
        return ("`amigen kube-proxy status --node TARGET` says what an earlier mode has left over on a node",)
    chains = "`iptables-save` must show no KUBE- chains but kubelet's KUBE-FIREWALL, KUBE-KUBELET-CANARY"
    restart = "else restart kube-proxy, which cleans up at each start"
    of_ipvs = (
        "`ip link show kube-ipvs0` must find nothing; else `ip link del kube-ipvs0`",
        "`ipvsadm -L -n` must be empty; else `ipvsadm -C`",
        f"{chains}, and `ipset list -n` no KUBE- sets but those of IPv6 (KUBE-6-); {restart}",
        f"{statement('ipvs-cleanup')}; `ipset destroy NAME` of each, or replace the node",
        "`/etc/modules-load.d/ipvs.conf` keeps loading ip_vs at boot until the nodes have the new image",
    )
    return (
        "kube-proxy removes what ipvs and iptables mode left when it starts in nftables mode; check it:",
        *(of_ipvs if mode == "ipvs" else (f"{chains}; {restart}",)),
        "`amigen kube-proxy status --node TARGET` says what is left over on a node",
    )


def _steps(rows: tuple[Row, ...]) -> tuple[str, ...]:
    fields = "".join(f" --set {row.becomes}" for row in rows if row.becomes.startswith("nftables."))
    return (
        "build an image from the spec below and verify it; give new nodes the label amigen/nftables=ready",
        f"amigen kube-proxy plan --mode nftables{fields}",
        f"amigen kube-proxy apply --mode nftables{fields} --by-pool  (a drained pool first; the add-on goes without"
        " --by-pool)",
        "amigen kube-proxy status, and status --node for the leftovers",
        "replace the nodes that still come from the old image",
    )


def _spec(platforms: list[str], version: str, name: str) -> str:
    document: Mapping[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "NodeImage",
        "name": name,
        "kubernetesVersion": version,
        "platforms": platforms or ["al2023"],
        "kubeProxy": {"mode": "nftables"},
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False)
