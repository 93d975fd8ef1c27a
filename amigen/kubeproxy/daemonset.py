"""kube-proxy's DaemonSet: what it runs with, its pods, and which node pool each is in. Pure, over API objects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from posixpath import join, normpath, relpath
from typing import Any, TypeAlias

from amigen.base.errors import KubernetesError
from amigen.base.moments import moment_of
from amigen.kubeproxy.config import value_at

Json: TypeAlias = Mapping[str, Any]

NAME = "kube-proxy"
# What `kubectl rollout restart` writes; pods carry it, so it says which of them are new.
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# Digest of the configuration for which amigen restarted: pods carry it too. The time in the ConfigMap's managed fields
# is no substitute: a second change of the same field by the same manager may leave it as it was.
CONFIG_DIGEST = "amigen/config-digest"
# Where amigen keeps the update strategy while it goes pool by pool with OnDelete.
KEPT_STRATEGY = "amigen/kept-update-strategy"
# Labels that name a node's pool: EKS managed node groups, Karpenter, eksctl's own groups.
POOL_LABELS = ("eks.amazonaws.com/nodegroup", "karpenter.sh/nodepool", "alpha.eksctl.io/nodegroup-name")
NO_POOL = "(no pool)"


@dataclass(frozen=True, kw_only=True)
class ConfigSource:
    """The ConfigMap and key that kube-proxy reads as `--config`."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Pod:
    """One pod of the DaemonSet.

    Attributes:
        stamp: Its `restartedAt` annotation; empty: none.
        digest: Of the configuration for which amigen restarted it; empty: amigen did not.
        why: Why it is not ready, or what its last exit was, as far as it says so.
        restarts: Of its containers.
    """

    name: str
    uid: str
    node: str
    created: str
    stamp: str
    digest: str
    ready: bool
    ending: bool
    why: str
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node, as the API shows it; `address` is how to reach it, `addresses` all that it has, names among them."""

    name: str
    pool: str
    ready: bool
    kernel: str
    os_image: str
    labels: Mapping[str, str]
    address: str
    addresses: tuple[str, ...] = ()


def config_sources(daemon_set: Json) -> tuple[ConfigSource, ...]:
    """Follow `--config` through the volume mount to the ConfigMap: names differ between EKS, kubeadm and others.

    Returns:
        Where it may be, the place that wins first; several only for a projected volume of whole ConfigMaps, of which
        kube-proxy reads the last that has the key.

    Raises:
        KubernetesError: kube-proxy is configured some other way.
    """
    volumes = {one["name"]: one for one in value_at(daemon_set, "spec.template.spec.volumes") or []}
    for container in _containers(daemon_set):
        match = re.search(r"--config[= ](\S+)", " ".join(_words(container)))
        if match is None:
            continue
        path = normpath(match[1])
        # Of nested mounts the innermost has the file.
        for mount in sorted(container.get("volumeMounts") or [], key=lambda one: -len(normpath(one["mountPath"]))):
            inside = normpath(mount["mountPath"])
            if path == inside or path.startswith(f"{inside.rstrip('/')}/"):
                file = normpath(join(mount.get("subPath") or "", relpath(path, inside)))
                if found := tuple(_holding(volumes.get(mount.get("name")) or {}, file)):
                    return found
                break
    raise KubernetesError(
        f"DaemonSet {NAME} does not read its configuration from a ConfigMap (no --config in a mounted ConfigMap)",
        "amigen changes only that; change the flags of the DaemonSet where it comes from",
    )


def _holding(volume: Json, file: str) -> Iterator[ConfigSource]:
    """ConfigMaps that a volume takes a file from, the last source first: it replaces what others put there."""
    projected = (volume.get("projected") or {}).get("sources") or []
    for one in reversed(projected or [volume]):
        source = one.get("configMap") or {}
        keys = [item["key"] for item in source.get("items") or () if normpath(item["path"]) == file]
        if source.get("name") and (keys or not source.get("items")):
            yield ConfigSource(name=source["name"], key=keys[-1] if keys else file)


def _containers(daemon_set: Json) -> list[Json]:
    """Its containers, kube-proxy's own first."""
    found = value_at(daemon_set, "spec.template.spec.containers") or []
    return sorted(found, key=lambda one: one.get("name") != NAME)


def _words(container: Json) -> list[str]:
    return [*(container.get("command") or []), *(container.get("args") or [])]


def proxy_version(daemon_set: Json) -> str:
    """The tag of kube-proxy's image, such as `v1.33.3-minimal-eksbuild.4`; empty where it has none (a digest)."""
    images = [str(one.get("image", "")) for one in _containers(daemon_set) if one.get("name") == NAME]
    tag = re.search(r":(v?1\.[1-9][0-9](?:[.+-][^@]*)?)(?:@|$)", images[0].rsplit("/", 1)[-1]) if images else None
    return tag[1] if tag else ""


def ignored_flags(daemon_set: Json) -> tuple[str, ...]:
    """Flags of mode and scheduler beside `--config`, which makes kube-proxy ignore them."""
    found: list[str] = []
    for words in map(_words, _containers(daemon_set)):
        if any(word.split("=")[0] == "--config" for word in words):
            found += [word for word in words if re.match(r"--(proxy-mode|ipvs-[a-z-]+)(=|$)", word)]
    return tuple(found)


def selector(daemon_set: Json) -> str:
    """The label selector of its pods; only matchLabels, which is what all known manifests have."""
    labels = value_at(daemon_set, "spec.selector.matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def restarted_for(daemon_set: Json) -> tuple[str, str]:
    """`restartedAt` of its pod template and the digest of the configuration that it was for; empty: neither."""
    annotations = value_at(daemon_set, "spec.template.metadata.annotations") or {}
    return str(annotations.get(RESTARTED, "")), str(annotations.get(CONFIG_DIGEST, ""))


def digest(text: str) -> str:
    """What identifies a configuration."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def strategy(daemon_set: Json) -> str:
    """`RollingUpdate` or `OnDelete`."""
    return str(value_at(daemon_set, "spec.updateStrategy.type") or "RollingUpdate")


def kept_strategy(daemon_set: Json) -> Json | None:
    """The update strategy that an earlier, unfinished run of amigen put aside; None without one."""
    text = (value_at(daemon_set, "metadata.annotations") or {}).get(KEPT_STRATEGY)
    try:
        kept = json.loads(text) if text else None
    except ValueError:
        return None
    return kept if isinstance(kept, dict) else None


def pods(items: Iterable[Json], daemon_set: Json | None = None) -> tuple[Pod, ...]:
    """Pods that are on a node and not at their end, by node.

    Args:
        daemon_set: Only the pods that it owns: those of a deleted one live on for a while. None: all.
    """
    owner = value_at(daemon_set, "metadata.uid")
    found = []
    for item in items:
        meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
        if owner and owner not in [one.get("uid") for one in meta.get("ownerReferences") or []]:
            continue
        conditions = {one["type"]: one for one in status.get("conditions") or []}
        annotations = meta.get("annotations") or {}
        found.append(
            Pod(
                name=meta["name"],
                uid=meta["uid"],
                node=spec.get("nodeName") or _pinned_node(spec),
                created=meta.get("creationTimestamp") or "",
                stamp=annotations.get(RESTARTED, ""),
                digest=annotations.get(CONFIG_DIGEST, ""),
                ready=value_at(conditions, "Ready.status") == "True",
                ending=bool(meta.get("deletionTimestamp")),
                why=_why(status, conditions),
                restarts=sum(one.get("restartCount") or 0 for one in status.get("containerStatuses") or []),
            )
        )
    return tuple(sorted(found, key=lambda pod: (pod.node, pod.name)))


def _pinned_node(spec: Json) -> str:
    """The node that the DaemonSet controller chose, for a pod that the scheduler has not bound yet."""
    affinity = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for term in value_at(spec, affinity) or []:
        for field in term.get("matchFields") or []:
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""


def _why(status: Json, conditions: Mapping[str, Json]) -> str:
    parts = []
    for container in status.get("containerStatuses") or []:
        waiting = value_at(container, "state.waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated")
        if waiting.get("reason"):
            parts.append(f"{waiting['reason']} {waiting.get('message', '')}".strip())
        if ended:
            said = str(ended.get("message") or "").strip().splitlines()
            parts.append(f"last exit {ended.get('exitCode')}" + (f": {said[-1]}" if said else ""))
    if not parts:
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
            condition = conditions.get(kind) or {}
            if condition.get("status") == "False":
                parts.append(f"{condition.get('reason') or kind} {condition.get('message', '')}".strip())
                break
    return "; ".join(parts) or f"phase {status.get('phase') or 'unknown'}"


def nodes(items: Iterable[Json], pool_label: str = "") -> tuple[Node, ...]:
    """The nodes with their pools.

    Args:
        pool_label: The label that names the pool; empty: the first of POOL_LABELS that a node has.
    """
    found = []
    for item in items:
        meta, status = item["metadata"], item.get("status") or {}
        labels = meta.get("labels") or {}
        conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or []}
        addresses = {one["type"]: one["address"] for one in reversed(status.get("addresses") or [])}
        keys = (pool_label,) if pool_label else POOL_LABELS
        found.append(
            Node(
                name=meta["name"],
                pool=next((labels[key] for key in keys if labels.get(key)), NO_POOL),
                ready=conditions.get("Ready") == "True",
                kernel=value_at(status, "nodeInfo.kernelVersion") or "",
                os_image=value_at(status, "nodeInfo.osImage") or "",
                labels=labels,
                address=addresses.get("InternalIP") or addresses.get("Hostname") or meta["name"],
                addresses=tuple(one["address"] for one in status.get("addresses") or []),
            )
        )
    return tuple(sorted(found, key=lambda node: node.name))


def changed_at(config_map: Json) -> datetime | None:
    """When the ConfigMap was last written, by its managed fields; None where the server does not say."""
    times = [one.get("time") for one in value_at(config_map, "metadata.managedFields") or []]
    return max(filter(None, map(moment_of, times)), default=None)


def is_stale(pod: Pod, text: str, moment: datetime | None) -> bool:
    """Whether the pod has not read this configuration.

    A pod that amigen restarted says for which one. Of others the time decides: those that started before the ConfigMap
    was written. The API's times have whole seconds: one of the same second counts as stale, which costs one restart.
    """
    if pod.digest:
        return pod.digest != digest(text)
    created = moment_of(pod.created)
    return created is not None and moment is not None and created <= moment


def managers(item: Json) -> frozenset[str]:
    """Who owns fields of an object, by server-side apply or update."""
    return frozenset(str(one.get("manager")) for one in value_at(item, "metadata.managedFields") or [])
