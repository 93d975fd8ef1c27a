"""Whether kube-proxy stays up: a log line says which mode it started in, and not that it still runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from amigen.kubeproxy.daemonset import Pod
from amigen.kubernetes.transport import UnreachableError

# kubelet waits 10 s before it starts a crashed container for the second time, and longer each time after that.
SECONDS = 12.0
_REQUESTS = 3


def restarting_nodes(pods: Callable[[], tuple[Pod, ...]], nodes: Collection[str]) -> dict[str, str]:
    """The nodes on which kube-proxy restarts, or is not ready, at each of several requests; with why.

    Raises:
        UnreachableError: The API server did not answer the last request.
    """
    if not nodes:
        return {}
    found: dict[str, str] = {}
    before = _of(pods(), nodes)
    for left in reversed(range(_REQUESTS)):
        time.sleep(SECONDS)
        try:
            now = _of(pods(), nodes)
        except UnreachableError:
            if left:
                continue  # an API server that is away for a moment says nothing of kube-proxy
            raise
        found = {node: why for node in before if (why := _why(before[node], now.get(node)))}
        if not found:
            return {}
        before = before | now
    return found


def _of(pods: tuple[Pod, ...], nodes: Collection[str]) -> dict[str, Pod]:
    return {pod.node: pod for pod in pods if pod.node in nodes and not pod.ending}


def _why(before: Pod, now: Pod | None) -> str:
    if now is None or not now.ready:
        return f"not ready any more: {now.why}" if now else "its pod is gone"
    if (now.uid, now.restarts) != (before.uid, before.restarts):
        return f"restarted {now.restarts} times: {now.why}"
    return ""
