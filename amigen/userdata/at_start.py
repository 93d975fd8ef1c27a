"""What `nodeadm init` and the kubelet refuse of a NodeConfig that `nodeadm config check` accepts.

Sources: amazon-eks-ami nodeadm/internal/api/net.go, kubelet/config.go, kubelet/environment.go, containerd/config.go,
system/local_disk.go; kubernetes cmd/kubelet/app/server.go, NewKubeletCommand.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from amigen.base.errors import Problem
from amigen.spec.kubelet_api import Ignored, KubeletApi, kubelet_api, versions
from amigen.spec.kubelet_values import is_taint
from amigen.spec.rules.join import labels_of
from amigen.spec.rules.nodeadm import NODEADM_FLAGS, containerd_config, pods_expression
from amigen.userdata.finding import Finding, by, error, warning

_STRATEGIES = ("raid0", "raid10", "mount", "none")
# Flags of which each further one adds to those before.
_ADDED_UP = ("mapStringString", "mapStringBool", "stringSlice", "[]v1.Taint", "colonSeparatedMultimapStringString")


def findings(config: Mapping[str, Any], version: str = "", *, cluster: bool = True) -> Iterator[Finding]:
    """What keeps a node from joining, or is ignored.

    Args:
        config: The NodeConfig after all merging, with the types of nodeadm's API.
        version: Kubernetes, as `MAJOR.MINOR`; empty where it is not known, and then what some versions refuse is a
            warning.
        cluster: Whether the cluster's own fields hold; False where a system sets them later.
    """
    spec = config.get("spec") or {}
    if cluster:
        yield from _cluster(spec.get("cluster") or {})
    yield from _nodeadm(spec)
    kubelet = spec.get("kubelet") or {}
    known = kubelet_api(version)
    apis = [known] if known else [api for each in versions() if (api := kubelet_api(each))]
    for judge in (_flags, _config):
        for problem in _of_versions(apis, judge, kubelet):
            yield by("kubelet", problem, where=problem.path, rule="kubelet")


def _cluster(cluster: Mapping[str, Any]) -> Iterator[Finding]:
    name, cidr = cluster.get("name"), cluster.get("cidr")
    endpoint, authority = cluster.get("apiServerEndpoint"), cluster.get("certificateAuthority")
    if cidr and not is_cidr(cidr):
        message = f"spec.cluster.cidr: {cidr[:60]!r} is not an address range: nodeadm does not start the kubelet"
        yield error("nodeadm", "at-start", message, "such as 10.100.0.0/16", "nodeadm internal/api/net.go")
    if name and not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]*", name):
        message = f"spec.cluster.name: {name[:60]!r} is not the name of an EKS cluster: the node does not join"
        source = "https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html"
        yield error("kubelet", "at-start", message, "is a variable not replaced?", source)
    if endpoint and not re.fullmatch(r"(https://)?[0-9A-Za-z.\[\]:-]+(/[0-9A-Za-z._~/-]*)?", endpoint):
        message = f"spec.cluster.apiServerEndpoint: {endpoint[:60]!r} is not an https address: "
        message += "the kubelet reaches no API server"
        hint = "`aws eks describe-cluster --name NAME --query cluster.endpoint --output text`"
        yield error("kubelet", "at-start", message, hint, "nodeadm internal/kubelet/kubeconfig.go")
    if authority and b"-----BEGIN CERTIFICATE-----" not in _decoded(authority):
        message = "spec.cluster.certificateAuthority is not the base64 of a PEM certificate: the kubelet does not start"
        hint = "`aws eks describe-cluster --name NAME --query cluster.certificateAuthority.data --output text`"
        # A warning: nodeadm's own documentation has a word in its place, and so has whoever shows his file to others.
        yield warning("kubelet", "at-start", message, hint, "nodeadm internal/kubelet/cert.go")


def _decoded(authority: str | list[int]) -> bytes:
    return bytes(authority) if isinstance(authority, list) else base64.b64decode(authority)


def is_cidr(text: str) -> bool:
    """`net.ParseCIDR` of Go."""
    address, _, bits = text.partition("/")
    if not _is_ip(address) or not re.fullmatch("[0-9]{1,3}", bits) or "%" in text:
        return False
    return int(bits) <= ipaddress.ip_address(address).max_prefixlen


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _nodeadm(spec: Mapping[str, Any]) -> Iterator[Finding]:
    expression = (spec.get("kubelet") or {}).get("maxPodsExpression")
    for problem in pods_expression(expression, "spec.kubelet.maxPodsExpression") if expression else ():
        yield by("nodeadm", replace(problem, severity="warning"), where=problem.path, rule="at-start")
    toml = (spec.get("containerd") or {}).get("config")
    for problem in containerd_config(toml, "spec.containerd.config") if toml else ():
        yield by("nodeadm", problem, where=problem.path, rule="at-start")
    for server in ((spec.get("instance") or {}).get("network") or {}).get("nameservers") or ():
        if not _is_ip(server):
            message = f"spec.instance.network.nameservers: {server[:60]!r} is not an IP address: "
            message += "systemd-resolved ignores it"
            source = "amazon-eks-ami nodeadm/internal/system/resolve.go"
            yield warning("nodeadm", "at-start", message, "such as 10.0.0.2", source)
    strategy = ((spec.get("instance") or {}).get("localStorage") or {}).get("strategy")
    if strategy and strategy.lower() not in _STRATEGIES:
        message = f"spec.instance.localStorage.strategy: {strategy[:60]!r} is no strategy: "
        message += "nodeadm fails before it starts the kubelet"
        source = "amazon-eks-ami templates/al2023/runtime/bin/setup-local-disks"
        yield error("nodeadm", "at-start", message, "RAID0, RAID10 or Mount", source)


def _of_versions(
    apis: list[KubeletApi],
    judge: Callable[[KubeletApi, Mapping[str, Any]], Iterator[Problem]],
    kubelet: Mapping[str, Any],
) -> Iterator[Problem]:
    """What the versions say, the newest first; an error is what all of them refuse."""
    found = [{(p.path, p.severity): p for p in judge(api, kubelet)} for api in reversed(apis)]
    for key in dict.fromkeys(key for each in found for key in each):
        problem = next(each[key] for each in found if key in each)
        certain = all(key in each for each in found) and not isinstance(problem, Ignored)
        yield problem if certain else replace(problem, severity="warning")


def _config(api: KubeletApi, kubelet: Mapping[str, Any]) -> Iterator[Problem]:
    config, where = kubelet.get("config") or {}, "spec.kubelet.config"
    yield from api.check(config, where, _words(api, kubelet.get("flags") or []))
    for key, wanted in (("apiVersion", "kubelet.config.k8s.io/v1beta1"), ("kind", "KubeletConfiguration")):
        if config.get(key, wanted) != wanted:
            yield Problem(
                path=f"{where}.{key}", message=f"must be {wanted}: the kubelet does not start", hint="remove it"
            )


def _flags(api: KubeletApi, kubelet: Mapping[str, Any]) -> Iterator[Problem]:
    where, given = "spec.kubelet.flags", dict[str, str]()
    lost = _joined(kubelet.get("flags") or [])[1]
    if lost.strip():
        message = f"holds a line break: the kubelet gets nothing of what follows it, {lost.strip()[:40]!r}"
        yield Problem(severity="warning", path=where, message=message, hint="write each flag as an item of its own")
    for word in _words(api, kubelet.get("flags") or []):
        name, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            if not re.match("-v=?[0-9]", word):
                message = f"{word[:60]!r} is not a flag: the kubelet does not start"
                yield Problem(path=f"{where} {word[:60]}", message=message, hint="--NAME=VALUE")
            continue
        name = name.replace("_", "-")
        place = f"{where} --{name}"
        yield from api.check_flag(f"--{word.removeprefix('--').replace(name.replace('-', '_'), name, 1)}", place)
        if name == "node-labels":
            yield from labels_of(word, place)
        elif name == "register-with-taints":
            yield from _taints(value, place)
        elif name in NODEADM_FLAGS and (name, value) != ("cloud-provider", "external"):
            message = "replaces what nodeadm sets"
            yield Problem(severity="warning", path=place, message=message, hint=NODEADM_FLAGS[name].split(":")[0])
        if given.get(name, value) != value and api.flags.get(name) not in _ADDED_UP:
            message = f"is set to {given[name][:40]!r} and then to {value[:40]!r}: the last one counts"
            yield Problem(severity="warning", path=place, message=message, hint="set it once")
        given[name] = value


def _joined(flags: list[str]) -> tuple[str, str]:
    """The line of an environment file that nodeadm writes (kubelet/environment.go), and what stands on lines below."""
    line, *below = re.split("[\r\n]", " ".join(flags), maxsplit=1)
    return line, "".join(below)


def _words(api: KubeletApi, flags: list[str]) -> Iterator[str]:
    """The flags as the kubelet gets them: nodeadm joins all with blanks, systemd splits, pflag takes the next word."""
    line, _ = _joined(flags)
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    while words:
        word = words.pop(0)
        type_ = api.flags.get(word.removeprefix("--").replace("_", "-"), "bool")
        if words and (word == "-v" or (word.startswith("--") and type_ not in ("bool", "version"))):
            word = f"{word}={words.pop(0)}"
        yield word


def _taints(value: str, place: str) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for taint in value.split(","):
        key = (taint.partition("=")[0].partition(":")[0], taint.rpartition(":")[2])
        message = (
            "is not a taint" if not is_taint(taint) else "has the key and the effect of another" if key in seen else ""
        )
        seen.add(key)
        if taint and message:
            message = f"{taint[:60]!r} {message}: the kubelet does not start"
            yield Problem(path=place, message=message, hint="KEY=VALUE:NoSchedule")
