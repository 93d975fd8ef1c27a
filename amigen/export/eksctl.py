"""eksctl: a ClusterConfig with a managed node group per architecture.

Sources: github.com/weaveworks/eksctl v0.215.0 pkg/apis/eksctl.io/v1alpha5/assets/schema.json (it judges the tests) and
validation.go, and pkg/nodebootstrap: on AL2023 `preBootstrapCommands` become shell parts and
`overrideBootstrapCommand` a NodeConfig; on Ubuntu both become scripts, and nothing else joins the node.
"""

from __future__ import annotations

from typing import Any

from amigen.base.errors import InputError
from amigen.export.model import Export
from amigen.spec.values import Architecture
from amigen.userdata import mime
from amigen.userdata.make import part_list
from amigen.userdata.own import yaml_for_go

_FAMILIES = {"al2023": "AmazonLinux2023", "ubuntu-22.04": "Ubuntu2204", "ubuntu-24.04": "Ubuntu2404"}


def files(export: Export) -> dict[str, bytes]:
    """`cluster.yaml`, for `eksctl create cluster -f` or `eksctl create nodegroup -f`.

    Raises:
        InputError: eksctl cannot launch such nodes.
    """
    export.require_join("eksctl")
    if export.plan.platform not in _FAMILIES:
        raise InputError(
            f"eksctl has no family for {export.plan.platform}", f"choose with --platform: {', '.join(_FAMILIES)}"
        )
    if export.image == "stock" and not export.by_nodeadm:
        raise InputError(
            f"eksctl runs no commands on its own image of {export.plan.platform}",
            "build an image and name its record: --record FILE",
        )
    spec = export.spec
    metadata = {"name": export.require_cluster(), "region": spec.aws.region, "version": spec.kubernetes_version}
    config = {
        "apiVersion": "eksctl.io/v1alpha5",
        "kind": "ClusterConfig",
        "metadata": metadata,
        "addons": [
            {"name": "vpc-cni"},
            {"name": "coredns"},
            {"name": "kube-proxy", "configurationValues": export.kube_proxy},
        ],
        "managedNodeGroups": [_group(export, architecture) for architecture in export.plan.architectures],
    }
    return {"cluster.yaml": yaml_for_go(config)}


def _group(export: Export, architecture: Architecture) -> dict[str, Any]:
    volume = export.volume
    group = {
        "name": f"{export.name}-{architecture}".replace("_", "-").replace(".", "-"),
        "amiFamily": _FAMILIES[export.plan.platform],
        "ami": export.ami(architecture) if export.image == "record" else None,
        "instanceType": export.instance_type(architecture),
        "minSize": 1,
        "maxSize": 3,
        "desiredCapacity": 1,
        "volumeSize": volume["VolumeSize"],
        "volumeType": volume["VolumeType"],
        "volumeIOPS": volume.get("Iops"),
        "volumeThroughput": volume.get("Throughput"),
        "volumeEncrypted": volume.get("Encrypted"),
        # IMDSv2 only.
        "disableIMDSv1": True,
        "labels": dict(sorted(export.kubelet.labels.items())) or None,
        "tags": export.tags(architecture),
        **_commands(export),
    }
    return {key: value for key, value in group.items() if value is not None}


def _commands(export: Export) -> dict[str, Any]:
    """What runs on the node, and the NodeConfig that eksctl puts behind its own."""
    parts = part_list(export.user_data)
    scripts = [part["content"] for part in parts if part["content_type"] == mime.SHELL]
    configs = [part["content"] for part in parts if part["content_type"] == mime.NODE_CONFIG]
    others = [part["content_type"] for part in parts if part["content_type"] not in (mime.SHELL, mime.NODE_CONFIG)]
    if others or len(configs) > 1:
        raise InputError(
            f"eksctl takes scripts and one NodeConfig; the user data has {', '.join(others) or 'several NodeConfigs'}",
            "take them out of what userData.merge names",
        )
    if export.by_nodeadm:
        return {"preBootstrapCommands": scripts, **({"overrideBootstrapCommand": configs[0]} if configs else {})}
    # The last one joins the node.
    return {"preBootstrapCommands": scripts[:-1] or None, "overrideBootstrapCommand": scripts[-1]}
