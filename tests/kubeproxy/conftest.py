"""Fixtures: a real control plane for the session, a fresh kube-proxy in it for each test, and a node in a VM."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amigen.kubernetes.cluster import NotFoundError, connect
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS
from tests.kubeproxy import real_vm, samples
from tests.kubeproxy.real_vm import Proof
from tests.kubeproxy.real_world import World, delete_all
from tests.real.control_plane import PROXY, ControlPlane, running
from tests.real.kubelet import PretendKubelet


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """kube-apiserver, etcd and kube-controller-manager (DaemonSets only), real."""
    with running(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@pytest.fixture
def world(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two nodes in two pools, and kube-proxy of kubeadm on both, running."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("amigen.kubeproxy.apply.RESTART_SECONDS", 1.0)
    cluster = connect(str(plane.kubeconfig("admin")))
    delete_all(cluster)
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
        owner = found.create(DAEMON_SETS, samples.daemon_set(image=f"kube-proxy:{PROXY}"))["metadata"]["uid"]
        found.wait_owned(owner, 2)
        yield found
        if "kube-apiserver" not in plane.processes:
            plane.start_api_server()
        delete_all(cluster)


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """A node image that amigen builds, for the tests in a virtual machine."""
    # With a short path: sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="ab-", dir="/tmp") as name:
        yield real_vm.built(Path(name))


@pytest.fixture(scope="module")
def proof(plane: ControlPlane, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """The booted node."""
    with real_vm.proving(plane, image, tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def healthy(proof: Proof) -> Proof:
    """kube-proxy in ipvs mode with sed, and a table as it should be."""
    done = proof.apply("--mode", "ipvs", "--scheduler", "sed")
    assert done.exit_code == 0, done.stdout + done.stderr
    done = proof.status("--wait", "120", "--interval", "2")
    assert done.exit_code == 0, done.stdout + done.stderr
    return proof
