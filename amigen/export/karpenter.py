"""Karpenter: an EC2NodeClass and a NodePool.

Sources: github.com/aws/karpenter-provider-aws v1.14.1 pkg/apis/crds (the schema that judges the tests), and
website/content/en/docs/getting-started/getting-started-with-karpenter (the role and the discovery tag).
"""

from __future__ import annotations

import re
from typing import Any

from amigen.base.errors import InputError
from amigen.export.model import GO_ARCH, Export, text
from amigen.userdata.own import yaml_for_go

# Karpenter sets these itself and refuses them in `tags` (validation rules of the CRD).
_RESERVED = re.compile(
    r"eks:eks-cluster-name|kubernetes\.io/cluster.*|karpenter\.sh/node(pool|claim)|karpenter\.k8s\.aws/ec2nodeclass"
)


def files(export: Export) -> dict[str, bytes]:
    """`karpenter.yaml`, for `kubectl apply`.

    Raises:
        InputError: The cluster is not known, or nothing would join the nodes to it.
    """
    export.require_join("Karpenter")
    return {"karpenter.yaml": yaml_for_go(node_class(export)) + b"---\n" + yaml_for_go(node_pool(export))}


def node_class(export: Export) -> dict[str, Any]:
    """The EC2NodeClass."""
    discovery = [{"tags": {"karpenter.sh/discovery": export.require_cluster()}}]
    volume = export.volume
    ebs = {
        "volumeSize": f"{volume['VolumeSize']}Gi",
        "volumeType": volume["VolumeType"],
        "iops": volume.get("Iops"),
        "throughput": volume.get("Throughput"),
        "encrypted": volume.get("Encrypted"),
        "deleteOnTermination": True,
    }
    spec = {
        # Karpenter puts its NodeConfig into the user data of AL2023, and leaves that of Custom alone.
        "amiFamily": "AL2023" if export.by_nodeadm else "Custom",
        "amiSelectorTerms": _selector(export),
        "role": f"KarpenterNodeRole-{export.require_cluster()}",
        "subnetSelectorTerms": discovery,
        "securityGroupSelectorTerms": discovery,
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": export.spec.aws.launch_template.hop_limit,
        },
        "blockDeviceMappings": [
            {
                "deviceName": export.fact.root_device,
                "rootVolume": True,
                "ebs": {key: value for key, value in ebs.items() if value is not None},
            }
        ],
        "tags": {key: value for key, value in export.tags().items() if not _RESERVED.fullmatch(key)},
        "userData": text(export),
    }
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": export.name},
        "spec": spec,
    }


def _selector(export: Export) -> list[dict[str, Any]]:
    """Which AMIs; Karpenter takes the newest of each architecture."""
    architectures = export.plan.architectures
    if fixed := [{"id": ami} for each in architectures if (ami := export.fixed_ami(each))]:
        return fixed
    if export.image == "parameter":
        return [{"ssmParameter": export.parameter(architecture)} for architecture in architectures]
    if export.image == "tags":
        wanted = {
            "amigen/name": export.spec.name,
            "amigen/platform": export.plan.platform,
            "amigen/digest": export.plan.digest,
            "amigen/verified": "true",
        }
        return [{"owner": "self", "tags": wanted}]
    if export.by_nodeadm:
        return [{"alias": "al2023@latest"}]
    raise InputError(f"Karpenter knows no stock image of {export.plan.platform}", "leave out --image stock")


def node_pool(export: Export) -> dict[str, Any]:
    """The NodePool: what the nodes may be, and what pods have to know of them."""
    types = [export.spec.aws.launch_template.instance_types.get(each) for each in export.plan.architectures]
    architectures = [GO_ARCH[each] for each in export.plan.architectures]
    requirements = [
        {"key": "kubernetes.io/arch", "operator": "In", "values": architectures},
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
    ]
    if named := [each for each in types if each]:
        requirements.append({"key": "node.kubernetes.io/instance-type", "operator": "In", "values": named})
    node: dict[str, Any] = {
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": export.name},
        "requirements": requirements,
    }
    if export.kubelet.taints:
        node["taints"] = [_taint(each) for each in export.kubelet.taints]
    template: dict[str, Any] = {"spec": node}
    if export.kubelet.labels:
        template = {"metadata": {"labels": dict(sorted(export.kubelet.labels.items()))}, **template}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": export.name},
        "spec": {
            "template": template,
            "limits": {"cpu": "100"},
            "disruption": {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "1m"},
        },
    }


def _taint(taint: str) -> dict[str, str]:
    """A taint of the spec, `KEY[=VALUE]:EFFECT`, by its fields."""
    pair, _, effect = taint.rpartition(":")
    key, equals, value = pair.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if equals and value else {})}
