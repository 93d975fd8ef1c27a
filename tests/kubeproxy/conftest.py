"""Fixtures: a real control plane for the session, and a fresh kube-proxy in it for each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from amigen.base.errors import AmigenError
from amigen.cli import cli
from amigen.kubeproxy.cluster import Cluster, NotFoundError, connect
from amigen.kubeproxy.kinds import CONFIG_MAPS, DAEMON_SETS, NODES, PODS, Kind
from tests.kubeproxy import samples
from tests.real.control_plane import ControlPlane, running
from tests.real.kubelet import PretendKubelet


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """kube-apiserver, etcd and kube-controller-manager (DaemonSets only), real."""
    with running(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@dataclass
class World:
    """A cluster with a kube-proxy as kubeadm makes it, and kubelets that are played."""

    plane: ControlPlane
    cluster: Cluster
    kubelet: PretendKubelet
    state: Path
    extra: list[str] = field(default_factory=list)

    def create(self, kind: Kind, body: dict[str, Any], namespace: str = "kube-system") -> dict[str, Any]:
        return self.cluster._json("POST", "create", kind, kind.path("", namespace), body["metadata"]["name"], body=body)

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

    def wait_pods(self, number: int, seconds: float = 60) -> None:
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


def _delete_all(cluster: Cluster) -> None:
    maps = (CONFIG_MAPS.path("kube-proxy"), CONFIG_MAPS.path("kube-proxy-config"))
    for path in (DAEMON_SETS.path("kube-proxy"), *maps):
        cluster._send("DELETE", path, {"propagationPolicy": "Background"})
    for item in cluster.list(NODES):
        cluster._send("DELETE", NODES.path(item["metadata"]["name"]))
    for item in cluster.list(PODS):
        cluster._send("DELETE", PODS.path(item["metadata"]["name"]) + "?gracePeriodSeconds=0")


@pytest.fixture
def world(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two nodes in two pools, and kube-proxy of kubeadm on both, running."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("amigen.kubeproxy.restart_count.SECONDS", 1.0)
    cluster = connect(str(plane.kubeconfig("admin")))
    _delete_all(cluster)
    while True:
        try:
            cluster.get(DAEMON_SETS, "kube-proxy")
            time.sleep(0.2)
        except NotFoundError:
            break
    with PretendKubelet(cluster, plane.folder) as kubelet:
        found = World(plane=plane, cluster=cluster, kubelet=kubelet, state=tmp_path / "state")
        kubelet.add_node("node-a", labels={"karpenter.sh/nodepool": "blue"})
        kubelet.add_node("node-b", labels={"karpenter.sh/nodepool": "green"})
        found.create(CONFIG_MAPS, samples.config_map())
        found.settle()
        owner = found.create(DAEMON_SETS, samples.daemon_set())["metadata"]["uid"]
        found.wait_owned(owner, 2)
        yield found
        if "kube-apiserver" not in plane.processes:
            plane.start_api_server()
        _delete_all(cluster)
