"""A kube-proxy on the real control plane, and what a user does with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from amigen.base.errors import AmigenError
from amigen.cli import cli
from amigen.kubernetes.cluster import Cluster
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, NODES, PODS, Asked, Kind
from tests.real.control_plane import ControlPlane
from tests.real.kubelet import PretendKubelet


@dataclass
class World:
    """A cluster with a kube-proxy as kubeadm makes it, and kubelets that are played."""

    plane: ControlPlane
    cluster: Cluster
    kubelet: PretendKubelet
    state: Path
    extra: list[str] = field(default_factory=list)

    def create(self, kind: Kind, body: dict[str, Any], namespace: str = "kube-system") -> dict[str, Any]:
        return self.cluster._json("create", Asked(kind, "", namespace), body=body)

    def text(self) -> str:
        return str(self.cluster.get(CONFIG_MAPS, "kube-proxy")["data"]["config.conf"])

    def edit(self, old: str, new: str) -> None:
        """What `kubectl edit configmap` of somebody else does."""
        found = self.cluster.get(CONFIG_MAPS, "kube-proxy")
        assert old in found["data"]["config.conf"]
        found["data"]["config.conf"] = found["data"]["config.conf"].replace(old, new)
        found["metadata"].pop("managedFields")
        self.cluster.replace(CONFIG_MAPS, "kube-proxy", found)

    def run(self, *arguments: str, user: str = "admin", text: str | None = None) -> Result:
        """Run the command line in process; the exit code is that of `main`."""
        argv = ["kube-proxy", *arguments, "--kubeconfig", str(self.plane.kubeconfig(user))]
        result = CliRunner().invoke(cli, argv, input=text)
        if isinstance(result.exception, AmigenError):
            result.exit_code = result.exception.exit_code
            result.stderr_bytes = (result.stderr_bytes or b"") + str(result.exception).encode()
        elif result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def wait_pods(self, number: int, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            items = list(self.cluster.list(PODS))
            if len(items) == number and all((one.get("status") or {}).get("phase") == "Running" for one in items):
                return
            time.sleep(0.2)
        raise AssertionError(f"not {number} running pods after {seconds} s")

    def wait_owned(self, owner: str, number: int, seconds: float = 120) -> None:
        """Running pods of this DaemonSet; after an outage the controller still makes some for one that is deleted."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            mine = 0
            for item in self.cluster.list(PODS):
                if any(one["uid"] == owner for one in item["metadata"].get("ownerReferences") or ()):
                    mine += (item.get("status") or {}).get("phase") == "Running"
                else:
                    self.cluster._send("DELETE", PODS.path(item["metadata"]["name"]) + "?gracePeriodSeconds=0")
            if mine == number:
                return
            time.sleep(0.2)
        raise AssertionError(f"not {number} running pods of the DaemonSet after {seconds} s")

    def settle(self) -> None:
        """Let a second pass: API times have whole seconds, and a pod of the ConfigMap's second counts as older."""
        time.sleep(1.1)


def delete_all(cluster: Cluster) -> None:
    maps = (CONFIG_MAPS.path("kube-proxy"), CONFIG_MAPS.path("kube-proxy-config"))
    for path in (DAEMON_SETS.path("kube-proxy"), *maps):
        cluster._send("DELETE", path, {"propagationPolicy": "Background"})
    for item in cluster.list(NODES):
        cluster._send("DELETE", NODES.path(item["metadata"]["name"]))
    for item in cluster.list(PODS):
        cluster._send("DELETE", PODS.path(item["metadata"]["name"]) + "?gracePeriodSeconds=0")
