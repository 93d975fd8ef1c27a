"""What joins a node to an EKS cluster: a NodeConfig for nodeadm, or arguments of `/etc/eks/bootstrap.sh`."""

from __future__ import annotations

import ipaddress
from typing import Any

from amigen.plan.model import ImagePlan
from amigen.spec.model import Eks, Kubelet

NODE_CONFIG_API = "node.eks.aws/v1alpha1"


def node_config(eks: Eks) -> dict[str, Any]:
    """The NodeConfig of nodeadm (awslabs/amazon-eks-ami nodeadm/doc/api.md); keys in a stable order.

    What is not set is left out, since nodeadm merges a later NodeConfig over an earlier one.
    """
    cluster: dict[str, Any] = {
        "name": eks.name,
        "apiServerEndpoint": eks.api_server_endpoint,
        "certificateAuthority": eks.certificate_authority,
        "cidr": eks.service_cidr,
    }
    if eks.enable_outpost:
        cluster["enableOutpost"] = True
    if eks.id is not None:
        cluster["id"] = eks.id
    kubelet = {
        "config": _kubelet_config(eks.kubelet),
        "flags": [*eks.kubelet.flags, *_labels(eks.kubelet)],
        "maxPodsExpression": eks.kubelet.max_pods_expression,
    }
    containerd = {"config": eks.containerd.config, "baseRuntimeSpec": _sorted(eks.containerd.base_runtime_spec)}
    storage, network = eks.instance.local_storage, eks.instance.network
    instance = {
        "localStorage": _set(
            {
                "strategy": storage.strategy,
                "mountPath": storage.mount_path,
                "disabledMounts": list(storage.disabled_mounts),
            }
        )
        if storage
        else None,
        "environment": _sorted(eks.instance.environment),
        "network": _set({"nameservers": list(network.nameservers), "domains": list(network.domains)}),
    }
    spec = {
        "cluster": cluster,
        "kubelet": _set(kubelet),
        "containerd": _set(containerd),
        "instance": _set(instance),
        "featureGates": _sorted(eks.feature_gates),
    }
    return {"apiVersion": NODE_CONFIG_API, "kind": "NodeConfig", "spec": _set(spec)}


def _kubelet_config(kubelet: Kubelet) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if kubelet.max_pods is not None:
        settings["maxPods"] = kubelet.max_pods
    if kubelet.taints:
        settings["registerWithTaints"] = [_taint(taint) for taint in kubelet.taints]
    settings.update(_sorted(kubelet.config))
    return settings


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, {}, [])}


def _sorted(value: Any) -> Any:
    """Mappings in the order of their keys: two spellings of a spec, of one digest, give the same bytes."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(value.items())}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def bootstrap_arguments(plan: ImagePlan) -> tuple[str, ...]:
    """Arguments of Ubuntu's `/etc/eks/bootstrap.sh` (the interface of amazon-eks-ami's AL2 script).

    Source: https://github.com/awslabs/amazon-eks-ami/blob/main/templates/al2/runtime/bootstrap.sh
    """
    eks = plan.spec.join.eks
    assert eks, "only a spec that joins has a join step"
    kubelet = eks.kubelet
    flags = [*kubelet.flags, *_labels(kubelet)]
    if kubelet.taints:
        flags.append(f"--register-with-taints={','.join(kubelet.taints)}")
    arguments = [
        eks.name,
        "--apiserver-endpoint",
        eks.api_server_endpoint,
        "--b64-cluster-ca",
        eks.certificate_authority,
    ]
    network = ipaddress.ip_network(eks.service_cidr)
    arguments += ["--dns-cluster-ip", str(dns_address(eks.service_cidr))]
    if network.version == 6:
        arguments += ["--ip-family", "ipv6", "--service-ipv6-cidr", eks.service_cidr]
    if kubelet.max_pods is not None:
        arguments += ["--use-max-pods", "false"]
        flags.append(f"--max-pods={kubelet.max_pods}")
    if flags:
        # bootstrap.sh puts them into a unit's environment file, where white space separates.
        arguments += ["--kubelet-extra-args", " ".join(flags)]
    return tuple(arguments)


def dns_address(service_cidr: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The cluster's DNS service: the tenth address of the service CIDR (EKS)."""
    return ipaddress.ip_network(service_cidr).network_address + 10


def _labels(kubelet: Kubelet) -> list[str]:
    pairs = [f"{key}={value}" for key, value in sorted(kubelet.labels.items())]
    return [f"--node-labels={','.join(pairs)}"] if pairs else []


def _taint(text: str) -> dict[str, str]:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}
