"""What nodeadm, the kubelet and containerd make of the settings in `join.eks`; Ubuntu's `bootstrap.sh` takes fewer.

Source of what is said about nodeadm: awslabs/amazon-eks-ami, nodeadm/, at commit 81fec2e8 (July 2026).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from amigen import knowledge
from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.kubelet_api import KubeletApi, kubelet_api, versions
from amigen.spec.kubelet_values import setting
from amigen.spec.model import Containerd, Eks, Instance, NodeImage
from amigen.spec.paths import key_path
from amigen.spec.rules.rule import problem, rule, warning

_KUBELET = "join.eks.kubelet"
_VALIDATION = "amazon-eks-ami nodeadm/internal/api/validation.go"
_NODEADM = "amazon-eks-ami nodeadm/internal/kubelet/config.go"
_AUTOMATIC = "remove it: nodeadm finds the right value on the instance"
# Flags that nodeadm itself passes to the kubelet, with the way out. `--node-labels` is not among them: the kubelet adds
# up the labels of several such flags.
NODEADM_FLAGS = {
    "bootstrap-kubeconfig": _AUTOMATIC,
    "cloud-provider": "remove it: nodeadm sets `external`, and the providerID that goes with it",
    "config": "set fields under join.eks.kubelet.config",
    "config-dir": "set fields under join.eks.kubelet.config",
    "hostname-override": "join.eks.featureGates.InstanceIdNodeName: true names nodes by their instance id",
    "image-credential-provider-bin-dir": _AUTOMATIC,
    "image-credential-provider-config": _AUTOMATIC,
    "kubeconfig": _AUTOMATIC,
    "node-ip": _AUTOMATIC,
    "runtime-cgroups": _AUTOMATIC,
}
# Fields of KubeletConfiguration that the spec has a key of its own for.
_OWN_KEYS = {"maxPods": "max_pods", "registerWithTaints": "taints"}
# https://github.com/opencontainers/runtime-spec/blob/main/specs-go/config.go
_RUNTIME_SPEC = ("annotations", "domainname", "hooks", "hostname", "linux", "mounts", "ociVersion", "process", "root")
_EXPRESSION_WORDS = {"default_enis", "ips_per_eni", "max_pods", "int", "uint", "double", "true", "false"}

_BY_HOOK = "write it with `files` or a hook"
# Key of join.eks, whether it is set, and the way out.
_NOT_ON_UBUNTU: tuple[tuple[str, Callable[[Eks], object], str], ...] = (
    ("enableOutpost", lambda eks: eks.enable_outpost, "use al2023 for nodes on an Outpost"),
    ("kubelet.maxPodsExpression", lambda eks: eks.kubelet.max_pods_expression, "set kubelet.maxPods"),
    ("containerd", lambda eks: eks.containerd != Containerd(), _BY_HOOK),
    ("instance", lambda eks: eks.instance != Instance(), _BY_HOOK),
    ("featureGates", lambda eks: eks.feature_gates, "they are nodeadm's: use al2023"),
)


@rule("platforms", "kubernetesVersion")
def only_nodeadm(spec: NodeImage) -> Iterator[Problem]:
    """`/etc/eks/bootstrap.sh` of Ubuntu has no argument for most of this."""
    eks = spec.join.eks
    scripted = [p for p in spec.platforms if PLATFORMS[p].joins_by == "bootstrap.sh"]
    if eks is None or not scripted:
        return
    for key, is_set, hint in _NOT_ON_UBUNTU:
        if is_set(eks):
            yield _not_on(scripted[0], key, hint)
    for key in eks.kubelet.config:
        yield _not_on(scripted[0], key_path("kubelet.config", key), _as_flag(key, spec.kubernetes_version))


def _not_on(platform: str, key: str, hint: str) -> Problem:
    message = f"the bootstrap.sh of {platform} has no argument for it"
    return problem(f"join.eks.{key}", message, f"{hint}; or use a separate spec for Ubuntu")


def _as_flag(key: str, version: str) -> str:
    """The way out for a field of KubeletConfiguration: the flag that says the same, where there is one."""
    if own := _OWN_KEYS.get(key):
        return f"use kubelet.{'maxPods' if own == 'max_pods' else own}"
    api = kubelet_api(version) or _nearest(version)
    flag = next((name for name in api.flags if name.replace("-", "") == key.lower()), None)
    return f"use kubelet.flags: --{flag}=..." if flag else _BY_HOOK


@rule("join.eks.id", "join.eks.enableOutpost")
def cluster_on_outpost(spec: NodeImage) -> Iterator[Problem]:
    """An Outpost needs the id of its local cluster, and nothing else does."""
    eks = spec.join.eks
    if eks and eks.enable_outpost and eks.id is None:
        hint = "`aws eks describe-cluster --name NAME --query cluster.id --output text`"
        yield problem("join.eks.enableOutpost", "needs join.eks.id", hint, _VALIDATION)
    if eks and eks.id is not None and not eks.enable_outpost:
        yield warning("join.eks.id", "has no effect without join.eks.enableOutpost: true", "set it, or remove the id")


@rule("kubernetesVersion", "platforms")
def kubelet(spec: NodeImage) -> Iterator[Problem]:
    """Flags and configuration are those of this Kubernetes version."""
    if spec.join.eks is None or not (spec.join.eks.kubelet.flags or spec.join.eks.kubelet.config):
        return
    known = kubelet_api(spec.kubernetes_version)
    api = known or _nearest(spec.kubernetes_version)
    by_nodeadm = any(PLATFORMS[p].joins_by == "nodeadm" for p in spec.platforms)
    for found in (*_flags(spec.join.eks, api, by_nodeadm), *_config(spec.join.eks, api)):
        # Of a version that is not known here, nothing is certain.
        certain = known or found.source == _NODEADM
        yield found if certain else replace(found, severity="warning")


def _nearest(version: str) -> KubeletApi:
    wanted = knowledge.version_tuple(version)
    listed = versions()
    nearest = listed[0] if wanted < knowledge.version_tuple(listed[0]) else listed[-1]
    found = kubelet_api(nearest)
    assert found
    return found


def _flags(eks: Eks, api: KubeletApi, by_nodeadm: bool) -> Iterator[Problem]:
    config = {key.lower(): key for key in eks.kubelet.config}
    for index, flag in enumerate(eks.kubelet.flags):
        where = f"{_KUBELET}.flags[{index}]"
        name = flag.removeprefix("--").partition("=")[0]
        if by_nodeadm and name in NODEADM_FLAGS:
            yield problem(where, f"nodeadm sets --{name} itself", NODEADM_FLAGS[name], _NODEADM)
            continue
        yield from api.check_flag(flag, where)
        if same := config.get(setting(name)):
            message = f"--{name} and kubelet.config.{same} are the same setting, and the flag wins"
            yield problem(where, message, "use one of them")


def _config(eks: Eks, api: KubeletApi) -> Iterator[Problem]:
    config, where = eks.kubelet.config, f"{_KUBELET}.config"
    yield from api.check(config, where)
    for key, wanted in (("apiVersion", "kubelet.config.k8s.io/v1beta1"), ("kind", "KubeletConfiguration")):
        if config.get(key, wanted) != wanted:
            yield problem(f"{where}.{key}", f"must be {wanted}", "remove it: nodeadm writes it")
    for key, attribute in _OWN_KEYS.items():
        if key in config and getattr(eks.kubelet, attribute):
            own = {"max_pods": "maxPods"}.get(attribute, attribute)
            message = f"kubelet.config.{key} and kubelet.{own} are the same setting"
            yield problem(f"{where}.{key}", message, "use one of them")


@rule()
def expression(spec: NodeImage) -> Iterator[Problem]:
    """An expression that nodeadm cannot evaluate is no error there: it silently uses its default."""
    text = spec.join.eks.kubelet.max_pods_expression if spec.join.eks else None
    if text is not None:
        yield from pods_expression(text, f"{_KUBELET}.maxPodsExpression")


def pods_expression(text: str, where: str) -> Iterator[Problem]:
    """Why nodeadm would use its default in place of a `maxPodsExpression`."""
    source = "amazon-eks-ami nodeadm/internal/kubelet/eni_max_pods.go"
    unknown = [word for word in re.findall(r"[A-Za-z_]\w*", text) if word not in _EXPRESSION_WORDS]
    if unknown:
        message = f"{unknown[0]} is not a variable here: nodeadm would silently use its default"
        yield problem(where, message, "variables: default_enis, ips_per_eni, max_pods", source)
    elif text.count("(") != text.count(")") or not re.search(r"\w\s*\)*\s*$", text):
        message = "is not a CEL expression: nodeadm would silently use its default"
        yield problem(where, message, "such as `max_pods - 10`", source)


@rule()
def containerd(spec: NodeImage) -> Iterator[Problem]:
    """TOML that nodeadm can merge, and an OCI runtime specification."""
    if spec.join.eks is None:
        return
    settings = spec.join.eks.containerd
    if settings.config is not None:
        yield from containerd_config(settings.config, "join.eks.containerd.config")
    for key in settings.base_runtime_spec:
        if key not in _RUNTIME_SPEC:
            message = f"an OCI runtime specification has no {key!r}: it would be ignored"
            where = key_path("join.eks.containerd.baseRuntimeSpec", key)
            yield problem(where, message, f"known: {', '.join(_RUNTIME_SPEC)}")


def containerd_config(given: str | dict[str, Any], where: str) -> Iterator[Problem]:
    """Why nodeadm could not merge a configuration of containerd, or containerd serves no pods with it."""
    try:
        config = toml(given)
    except ValueError as error:
        hint = "containerd's configuration is TOML: https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md"
        yield problem(where, f"is not valid TOML: {error}", hint)
        return
    sections = ("io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime")
    plugins = config.get("plugins")
    plugins = plugins if isinstance(plugins, dict) else {}
    if config.get("version") == 3 and not any(section in plugins for section in sections):
        message = f"has version 3 but neither {sections[0]} nor {sections[1]}: nodeadm merges it into version 2"
        yield problem(where, message, "remove `version = 3`", "amazon-eks-ami nodeadm/internal/containerd/config.go")
    for name in (sections[0], "io.containerd.grpc.v1.cri"):
        registry = plugins[name].get("registry") if isinstance(plugins.get(name), dict) else None
        if isinstance(registry, dict) and registry.get("mirrors") and registry.get("config_path") != "":
            message = "sets registry.mirrors beside the config_path that nodeadm sets: containerd runs no pods then"
            hint = "write /etc/containerd/certs.d/REGISTRY/hosts.toml with a script or `files`"
            yield problem(where, message, hint, "containerd internal/cri/config/config.go")


def toml(given: str | dict[str, Any]) -> dict[str, Any]:
    """TOML as go-toml reads it, which knows no number of more than 64 bits; a mapping as it is.

    Raises:
        ValueError: It is not TOML.
    """
    if isinstance(given, dict):
        return given

    def number(text: str) -> float:
        if abs(value := float(text)) == float("inf") and "inf" not in text:
            raise ValueError(f"{text[:40]} is too large a number")
        return value

    try:
        try:
            config = tomllib.loads(given, parse_float=number)
        except tomllib.TOMLDecodeError:
            if r"\e" not in given:
                raise
            # Of TOML 1.1, which go-toml reads.
            config = tomllib.loads(re.sub(r"(?<!\\)((?:\\\\)*)\\e", r"\1\\u001b", given), parse_float=number)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    values: list[Any] = [config]
    while values:
        value = values.pop()
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{value} is too large a number")
    return config


@rule()
def instance(spec: NodeImage) -> Iterator[Problem]:
    """Environment and network settings as systemd reads them."""
    if spec.join.eks is None:
        return
    settings = spec.join.eks.instance
    for service, variables in settings.environment.items():
        where = key_path("join.eks.instance.environment", service)
        if service.endswith(".service"):
            message = f"nodeadm adds .service itself: {service} would be {service}.service"
            yield problem(where, message, f"write {service.removesuffix('.service')}")
        for name, value in variables.items():
            if re.search(r"://[^/@\s]*:[^/@\s]*@", value):
                message = "contains a password: every process on the instance can read it"
                yield problem(key_path(where, name), message, "use a proxy that lets the nodes in without one")
            if value.endswith('"'):
                message = "ends with a double quote, which nodeadm does not escape"
                source = "amazon-eks-ami nodeadm/internal/system/environment.go"
                yield problem(key_path(where, name), message, "remove the quotes", source)
    yield from _network(settings)
    storage = settings.local_storage
    if storage and storage.strategy == "Mount" and storage.disabled_mounts:
        message = "has no effect with strategy: Mount, which moves no folders"
        source = "amazon-eks-ami templates/al2023/runtime/bin/setup-local-disks"
        where = "join.eks.instance.localStorage.disabledMounts"
        yield warning(where, message, "remove it", source)


def _network(settings: Instance) -> Iterator[Problem]:
    for index, address in enumerate(settings.network.nameservers):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            where = f"join.eks.instance.network.nameservers[{index}]"
            yield problem(where, f"{address!r} is not an IP address", "such as 10.0.0.2")
