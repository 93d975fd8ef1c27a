"""How the node joins: what nodeadm, `/etc/eks/bootstrap.sh` and the kubelet accept."""

from __future__ import annotations

import base64
import ipaddress
import re
import shlex
from collections.abc import Iterator
from typing import Literal

from amigen import knowledge
from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.model import Eks, NodeImage
from amigen.spec.paths import key_path
from amigen.spec.rules.rule import duplicates, problem, rule, warning
from amigen.spec.shape import shape
from amigen.spec.values import LabelKey, LabelValue

# The kubelet refuses to start with a label of kubernetes.io or k8s.io that is not one of these, or in one of these
# namespaces or below (kubernetes cmd/kubelet/app/options/options.go, ValidateKubeletFlags;
# k8s.io/kubelet/pkg/apis/well_known_labels.go).
_LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_LABELS = {
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
}
_LABELS_SOURCE = "kubernetes cmd/kubelet/app/options/options.go, ValidateKubeletFlags"


@rule("kubernetesVersion", "platforms")
def platforms_can_join(spec: NodeImage) -> Iterator[Problem]:
    """Each platform has an EKS image for this Kubernetes version."""
    if spec.join.eks is None:
        return
    wanted = knowledge.version_tuple(spec.kubernetes_version)
    for index, platform in enumerate(spec.platforms):
        fact = PLATFORMS[platform]
        where = f"platforms[{index}]"
        if fact.joins_by is None:
            able = ", ".join(name for name, fact in PLATFORMS.items() if fact.joins_by)
            hint = f"remove join.eks (your own user data may join the node), or choose one of {able}"
            yield problem(where, f"{platform} has no EKS image: nothing on it joins a cluster", hint)
        elif fact.min_kubernetes and wanted < fact.min_kubernetes:
            message = f"the EKS images of {platform} start with Kubernetes {_version(fact.min_kubernetes)}"
            yield problem(where, message, source=fact.source)


@rule("kubernetesVersion", "platforms", "aws.baseImage", "join")
def eks_support(spec: NodeImage) -> Iterator[Problem]:
    """EKS supports the Kubernetes version, where the image or the cluster is one of EKS.

    By the calendar and its date, and not by the clock: the same spec has the same findings everywhere.
    """
    on_eks = spec.aws.base_image == "eks" and any(PLATFORMS[p].joins_by for p in spec.platforms)
    if spec.join.eks is None and not on_eks:
        return
    calendar, as_of = knowledge.EKS_CALENDAR, knowledge.EKS_CALENDAR_AS_OF
    wanted, newest = knowledge.version_tuple(spec.kubernetes_version), max(calendar)
    severity: Literal["warning", "note"] = "warning"
    hint = f"EKS supports up to {_version(newest)}"
    standard, extended = calendar.get(wanted, ("", ""))
    if wanted > newest:
        message = f"EKS had no Kubernetes {spec.kubernetes_version} on {as_of}"
    elif wanted < min(calendar) or (extended and extended <= as_of):
        ended = f" on {extended}" if extended else ""
        message = f"EKS ended its support of Kubernetes {spec.kubernetes_version}{ended}: EKS upgrades such clusters"
    elif standard and standard <= as_of:
        message = (
            f"Kubernetes {spec.kubernetes_version} is in extended support on EKS, which costs more, until {extended}"
        )
        severity = "note"
    else:
        return
    source = "https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"
    yield Problem(severity=severity, path="kubernetesVersion", message=message, hint=hint, source=source)


@rule()
def cluster(spec: NodeImage) -> Iterator[Problem]:
    """The cluster's own data are well-formed."""
    if spec.join.eks is None:
        return
    eks = spec.join.eks
    try:
        pem = base64.b64decode(eks.certificate_authority, validate=True)
    except ValueError:
        pem = b""
    if not pem.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
        hint = "`aws eks describe-cluster --name NAME --query cluster.certificateAuthority.data --output text`"
        yield problem("join.eks.certificateAuthority", "is not the base64 of a PEM certificate", hint)
    hint = "such as 10.100.0.0/16"
    try:
        network = ipaddress.ip_network(eks.service_cidr)
    except ValueError as error:
        yield problem("join.eks.serviceCIDR", f"is not an address range: {error}", hint)
    else:
        if network.num_addresses <= 10:
            message = "is too small: the cluster's DNS service has the tenth address of the range"
            yield problem("join.eks.serviceCIDR", message, hint)
    yield from _kubelet(eks)


def _kubelet(eks: Eks) -> Iterator[Problem]:
    kubelet = eks.kubelet
    for index, name, first in duplicates(flag.split("=")[0] for flag in kubelet.flags):
        yield problem(f"join.eks.kubelet.flags[{index}]", f"{name} is a duplicate (also flags[{first}])", "remove one")
    for index, flag in enumerate(kubelet.flags):
        name = flag.split("=")[0]
        where = f"join.eks.kubelet.flags[{index}]"
        other = {"--node-labels": "labels", "--register-with-taints": "taints", "--max-pods": "maxPods"}.get(name)
        if other and getattr(kubelet, {"maxPods": "max_pods"}.get(other, other)):
            yield problem(where, f"{name} and kubelet.{other} are the same setting", "use one of them")
        yield from _quotes(flag, where)
        if name == "--node-labels":
            yield from labels_of(flag, where)
    for label in kubelet.labels:
        if _is_reserved(label):
            yield _reserved(label, key_path("join.eks.kubelet.labels", label))


def _quotes(flag: str, where: str) -> Iterator[Problem]:
    """What systemd makes of a flag that it reads from an environment file and splits into words."""
    source = "systemd.exec(5), EnvironmentFile=; systemd.service(5), COMMAND LINES"
    try:
        (arrives,) = shlex.split(flag)
    except ValueError:
        arrives = ""
    if not arrives or "\\" in flag:
        message = "has a backslash, or a quote that is not closed: systemd reads what follows with it"
        yield problem(where, message, "remove it", source)
    elif arrives != flag:
        yield warning(where, f"systemd removes quotes: the kubelet gets {arrives}", "remove the quotes", source)


def labels_of(flag: str, where: str) -> Iterator[Problem]:
    """The labels in `--node-labels=KEY=VALUE,KEY,...` (ConfigurationMap of k8s.io/component-base)."""
    key_pattern, value_pattern = (shape(type_).pattern or "" for type_ in (LabelKey, LabelValue))
    for pair in flag.partition("=")[2].strip("\"'").split(","):
        key, _, value = pair.partition("=")
        if not pair or (re.search(key_pattern, key) and re.search(value_pattern, value)):
            if _is_reserved(key):
                yield _reserved(key, where)
            continue
        message = f"{pair!r} is not a label: the kubelet would not start"
        yield problem(where, message, "--node-labels=KEY=VALUE,KEY=VALUE", _LABELS_SOURCE)


def _is_reserved(label: str) -> bool:
    namespace = f".{label.rpartition('/')[0]}"
    if not namespace.endswith((".kubernetes.io", ".k8s.io")) or label in _LABELS:
        return False
    return not namespace.endswith(tuple(f".{allowed}" for allowed in _LABEL_NAMESPACES))


def _reserved(label: str, where: str) -> Problem:
    return problem(
        where,
        f"the kubelet does not start with the label {label}: kubernetes.io and k8s.io are reserved",
        f"use a prefix of your own, or {' or '.join(f'{allowed}/' for allowed in _LABEL_NAMESPACES)}",
        _LABELS_SOURCE,
    )


def _version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
