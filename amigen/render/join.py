"""What joins a node to an EKS cluster: a NodeConfig for nodeadm, or arguments of `/etc/eks/bootstrap.sh`."""

from __future__ import annotations

import ipaddress
from typing import Any

from amigen.plan.model import ImagePlan
from amigen.spec.model import Eks, Kubelet

NODE_CONFIG_API = "node.eks.aws/v1alpha1"


def node_config(eks: Eks) -> dict[str, Any]:
    """The NodeConfig of nodeadm (awslabs/amazon-eks-ami nodeadm/doc/api.md); keys in a stable order."""
    kubelet: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if eks.kubelet.max_pods is not None:
        settings["maxPods"] = eks.kubelet.max_pods
    if eks.kubelet.taints:
        settings["registerWithTaints"] = [_taint(taint) for taint in eks.kubelet.taints]
    if settings:
        kubelet["config"] = settings
    flags = [*eks.kubelet.flags, *_labels(eks.kubelet)]
    if flags:
        kubelet["flags"] = flags
    spec: dict[str, Any] = {
        "cluster": {
            "name": eks.name,
            "apiServerEndpoint": eks.api_server_endpoint,
            "certificateAuthority": eks.certificate_authority,
            "cidr": eks.service_cidr,
        }
    }
    if kubelet:
        spec["kubelet"] = kubelet
    return {"apiVersion": NODE_CONFIG_API, "kind": "NodeConfig", "spec": spec}


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
