"""A real API server and the real kube-proxy in nftables mode, in a network namespace of their own.

    unshare --net --uts python -m tests.real.nftables_cell FOLDER WORLDS

Random clusters (tests/kubeproxy/worlds.py) are created on the API server; kube-proxy programs them with the real nft,
and `amigen kube-proxy status --node local` compares. Prints JSON: for each cluster the differences and the facts.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from amigen.cli import cli as amigen
from amigen.kubernetes.cluster import Cluster, connect
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, ENDPOINT_SLICES, NODES, SERVICES, Kind
from tests.kubeproxy import samples
from tests.kubeproxy.worlds import a_world
from tests.real.control_plane import PROXY, ControlPlane, running

NODE = "node-a"
NETWORK = """
hostname node-a
ip link set lo up
ip link add eth0 type veth peer name peer0
ip addr add 10.0.0.7/24 dev eth0
ip link set eth0 up
ip link set peer0 up
ip route add default via 10.0.0.1
"""
CONFIG = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: KUBECONFIG}
conntrack: {maxPerCore: 0, min: 0}
nftables: {minSyncPeriod: 0s, syncPeriod: 30s}
"""


def send(cluster: Cluster, method: str, path: str, body: dict[str, Any], kind: str = "application/json") -> bool:
    """Whether the API server takes it; some of the random objects are not valid."""
    return cluster._send(method, path, body, kind).status < 300


def create(cluster: Cluster, kind: Kind, api: str, item: dict[str, Any], namespace: str) -> bool:
    name = {SERVICES: "Service", ENDPOINT_SLICES: "EndpointSlice"}[kind]
    return send(cluster, "POST", kind.path(namespace=namespace), {"apiVersion": api, "kind": name, **item})


def valid(service: dict[str, Any]) -> dict[str, Any]:
    """A Service without what the API server refuses; kube-proxy's reading of that is judged by its code alone."""
    spec = dict(service["spec"])
    spec.pop("healthCheckNodePort", None)
    spec["ipFamilyPolicy"] = "SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack"
    if spec["clusterIP"] == "None":
        spec |= {"clusterIPs": ["None"], "type": "ClusterIP"}
    external = [one for one in spec.pop("externalIPs", ()) if one and one != "nonsense" and ".002." not in one]
    external = [one for one in external if "::ffff:" not in one]
    if external:
        spec["externalIPs"] = external
    elif spec["type"] == "ClusterIP":
        spec.pop("externalTrafficPolicy", None)
    if "loadBalancerSourceRanges" in spec:
        spec["loadBalancerSourceRanges"] = [one for one in spec["loadBalancerSourceRanges"] if one != "nonsense"]
    return {**service, "spec": spec}


def populate(cluster: Cluster, world: dict[str, Any]) -> int:
    """Create what the API server takes; the number of Services."""
    made = set()
    for service in world["services"]:
        name = service["metadata"]["name"]
        if not create(cluster, SERVICES, "v1", valid(service), "default"):
            continue
        made.add(name)
        if "status" in service:
            merge = "application/merge-patch+json"
            send(cluster, "PATCH", f"{SERVICES.path(name, 'default')}/status", {"status": service["status"]}, merge)
    for slice_ in world["slices"]:
        if slice_["metadata"]["labels"]["kubernetes.io/service-name"] in made:
            create(cluster, ENDPOINT_SLICES, "discovery.k8s.io/v1", slice_, "default")
    return len(made)


def tell_zone(cluster: Cluster, name: str) -> None:
    """Change the node's zone and back.

    On a slow machine kube-proxy 1.37 took no notice of its zone. By its source the node can come before the handler
    that is registered after NewNodeTopologyConfig (cmd/kube-proxy/app/server.go); the next change reaches it.
    """
    for zone in ("zone-b", "zone-a"):
        labels = {"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}
        assert send(cluster, "PATCH", NODES.path(name), labels, "application/merge-patch+json")


def depopulate(cluster: Cluster, world: dict[str, Any]) -> None:
    for kind, items in ((SERVICES, world["services"]), (ENDPOINT_SLICES, world["slices"])):
        for item in items:
            cluster._send("DELETE", kind.path(item["metadata"]["name"], "default"))


def cell(plane: ControlPlane, folder: Path, worlds: int) -> list[dict[str, Any]]:
    """Go through the clusters."""
    kubeconfig = plane.kubeconfig("admin")
    cluster = connect(str(kubeconfig))
    text = CONFIG.replace("KUBECONFIG", str(kubeconfig))
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    node["metadata"] |= {"labels": {"topology.kubernetes.io/zone": "zone-a"}}  # type: ignore[operator]
    assert send(cluster, "POST", NODES.path(), node)
    merge = "application/merge-patch+json"
    addresses = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}}
    assert send(cluster, "PATCH", f"{NODES.path(NODE)}/status", addresses, merge)
    image = samples.daemon_set(image=f"registry.k8s.io/kube-proxy:{PROXY}")
    assert send(cluster, "POST", CONFIG_MAPS.path(), samples.config_map(text=text))
    assert send(cluster, "POST", DAEMON_SETS.path(), image)
    config = folder / "config.conf"
    config.write_text(text)
    log = (folder / "kube-proxy.log").open("wb")
    proxy = subprocess.Popen(
        [str(plane.programs["kube-proxy"]), f"--config={config}", f"--hostname-override={NODE}"], stderr=log, stdout=log
    )
    try:
        return [look(cluster, kubeconfig, seed) for seed in range(worlds)]
    finally:
        proxy.terminate()
        proxy.wait(120)


def look(cluster: Cluster, kubeconfig: Path, seed: int) -> dict[str, Any]:
    world = a_world(seed)
    number = populate(cluster, world)
    arguments = ["kube-proxy", "status", "--kubeconfig", str(kubeconfig), "--node", "local", "--output", "json"]
    done = CliRunner().invoke(amigen, [*arguments, "--wait", "40", "--interval", "1"])
    depopulate(cluster, world)
    try:
        (state,) = json.loads(done.stdout)
    except ValueError:
        return {"seed": seed, "services": number, "error": done.stdout + done.stderr + repr(done.exception)}
    return {"seed": seed, "services": number, "differences": state["differences"], "facts": state["facts"]}


def main(folder: Path, worlds: int) -> None:
    subprocess.run(["sh", "-e"], input=NETWORK, text=True, check=True)
    assert socket.gethostname() == NODE
    begun = time.monotonic()
    with running(folder / "plane") as plane:
        found = cell(plane, folder, worlds)
    print(json.dumps({"seconds": round(time.monotonic() - begun), "worlds": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
