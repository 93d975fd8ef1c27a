"""What is wrong with the kube-proxy of a cluster as a whole. Pure."""

from __future__ import annotations

from amigen.base.errors import ChecksFailedError, InputError
from amigen.base.words import shortened
from amigen.kubeproxy.addon import read_values
from amigen.kubeproxy.config import contradictions, value_at
from amigen.kubeproxy.fields import FIELDS
from amigen.kubeproxy.node_facts import NodeMode
from amigen.kubeproxy.observe import Observed
from amigen.kubeproxy.versions import unset_mode

_NAMED = 10


def missing(observed: Observed) -> tuple[int, tuple[str, ...]]:
    """How many pods the DaemonSet wants and does not have, and the nodes without any (maybe more than it wants)."""
    wanted = value_at(observed.daemon_set, "status.desiredNumberScheduled") or 0
    nodes = {pod.node for pod in observed.pods if not pod.ending}
    number = max(0, int(wanted) - len(nodes))
    return number, tuple(node.name for node in observed.nodes if node.name not in nodes) if number else ()


def addon_drift(observed: Observed) -> tuple[str, ...]:
    """Where the ConfigMap says something else than the add-on's values: edited by hand, or kept by PRESERVE."""
    state = observed.managed.addon
    if state is None:
        return ()
    try:
        values = read_values(state.values)
    except InputError:
        return ()  # a change will say it
    found = {path: value_at(values, path) for path in ("mode", *FIELDS)}
    return contradictions(observed.config, {path: value for path, value in found.items() if value is not None})


def problems(observed: Observed, modes: tuple[NodeMode, ...]) -> tuple[str, ...]:
    """Each thing that is not as it should be, in a sentence; empty: all is well."""
    found = []
    if wrong := [one.node for one in modes if one.mode and one.mode != observed.config.mode]:
        found.append(f"{shortened(wrong, _NAMED)}: not in the configured mode {observed.config.mode}")
    if not_ready := [pod.node for pod in observed.pods if not pod.ready and not pod.ending]:
        found.append(f"{shortened(not_ready, _NAMED)}: kube-proxy is not ready")
    number, without = missing(observed)
    if number:
        found.append(f"{number} nodes have no kube-proxy ({shortened(without, _NAMED)})")
    if stale := [pod.node for pod in observed.stale_pods]:
        found.append(f"{shortened(stale, _NAMED)}: kube-proxy is older than the configuration")
    if drift := addon_drift(observed):
        found.append(f"the ConfigMap contradicts the add-on: {'; '.join(drift)}")
    return tuple(found)


def refuse_problems(observed: Observed, modes: tuple[NodeMode, ...]) -> None:
    """Raise ChecksFailedError where something is not as it should be."""
    if found := problems(observed, modes):
        raise ChecksFailedError("\n".join(found))


def notes(observed: Observed) -> tuple[str, ...]:
    """What is worth knowing and is no problem yet."""
    unset = unset_mode(observed.config.get("mode"), observed.proxy_version)
    return (unset,) if unset else ()
