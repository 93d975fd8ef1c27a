"""The real kube-proxy moved between iptables and nftables mode, with connections held, in a network namespace.

    unshare --net --uts --mount python -m tests.real.moves_cell FOLDER

Prints JSON: `moves`, what became of the connections that were open before each (tests/real/traffic.py), and `unset`,
which versions of kube-proxy warn where no mode is set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amigen.kubernetes.cluster import Cluster, connect
from amigen.kubernetes.kinds import ENDPOINT_SLICES, NODES, SERVICES
from tests.real import build, node
from tests.real.control_plane import PROXIES, ControlPlane, running
from tests.real.nftables_cell import CONFIG, NETWORK, NODE, send

TRAFFIC = Path(__file__).with_name("traffic.py")
HELD, ROUNDS = 8, 6
CLIENTS = {
    "pod": ("ip netns exec client", "10.96.0.61 80"),
    "host": ("", "10.96.0.61 80"),
    "pod to node port": ("ip netns exec client", "10.0.0.7 30090"),
}


@contextmanager
def started(*commands: str) -> Iterator[None]:
    """Run programs of this machine meanwhile."""
    processes = [subprocess.Popen(command.split()) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait(120)


def wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def populate(cluster: Cluster) -> None:
    """A Service with two endpoints: a connection that is balanced anew often meets a server that does not know it."""
    assert send(cluster, "POST", NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    addresses = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}}
    assert send(cluster, "PATCH", f"{NODES.path(NODE)}/status", addresses, "application/merge-patch+json")
    port = {"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30090}
    service = node.service("echo", "10.96.0.61", type="NodePort", ports=[port])
    assert send(cluster, "POST", SERVICES.path(namespace="default"), service)
    for number in (9090, 9091):
        slice_ = node.endpoints("echo", ["10.244.1.2"], ("http", "TCP", number))
        slice_["metadata"]["name"] = f"echo-{number}"
        assert send(cluster, "POST", ENDPOINT_SLICES.path(namespace="default"), slice_)


def mode() -> str:
    try:
        with urllib.request.urlopen("http://127.0.0.1:10249/proxyMode", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def warns_of_unset_mode(program: Path, kubeconfig: Path, folder: Path) -> bool:
    """Whether this kube-proxy says, where no mode is set, that the default will change."""
    config, log = folder / "unset.conf", folder / "unset.log"
    config.write_text(CONFIG.replace("KUBECONFIG", str(kubeconfig)).replace("mode: nftables", 'mode: ""'))
    with log.open("wb") as out:
        words = [str(program), f"--config={config}", f"--hostname-override={NODE}"]
        process = subprocess.Popen(words, stderr=out, stdout=out)
    try:
        wait(lambda: "Using iptables Proxier" in log.read_text(), f"{program} does not start")
    finally:
        process.terminate()
        process.wait(120)
    return "No kube-proxy mode specified" in log.read_text()


def moves(plane: ControlPlane, folder: Path) -> list[dict[str, Any]]:
    kubeconfig = plane.kubeconfig("admin")
    log = (folder / "kube-proxy.log").open("wb")

    def proxy(wanted: str) -> subprocess.Popen[bytes]:
        config = folder / f"{wanted}.conf"
        text = CONFIG.replace("KUBECONFIG", str(kubeconfig)).replace("mode: nftables", f"mode: {wanted}")
        config.write_text(f"{text}clusterCIDR: 10.244.0.0/16\n")
        words = [str(plane.programs["kube-proxy"]), f"--config={config}", f"--hostname-override={NODE}"]
        process = subprocess.Popen(words, stderr=log, stdout=log)
        wait(lambda: mode() == wanted, f"kube-proxy does not start in {wanted} mode")
        return process

    found = []
    current = proxy("iptables")
    asking = ["python3", str(TRAFFIC), "ask", "10.96.0.61", "80"]
    wait(lambda: not subprocess.run(asking, capture_output=True, check=False).returncode, "the Service does not answer")
    for then in ("nftables", "iptables"):
        for file in folder.glob("*.json"):
            file.unlink()
        holding = [
            f"{inside} python3 {TRAFFIC} hold {folder}/{name.replace(' ', '-')}.json {place} {HELD}"
            for name, (inside, place) in CLIENTS.items()
        ]
        with started(*holding):
            wait(lambda: len(list(folder.glob("*.json"))) == len(CLIENTS), "the clients do not connect")
            current.terminate()
            current.wait(120)
            current = proxy(then)
            files = list(folder.glob("*.json"))
            begun = min(json.loads(file.read_text())["rounds"] for file in files)
            for _ in range(120):
                seen = {file.stem: json.loads(file.read_text()) for file in files}
                if min(one["rounds"] for one in seen.values()) >= begun + ROUNDS:
                    break
                time.sleep(1)
            found.append({"then": then, **seen})
    current.terminate()
    current.wait(120)
    return found


def main(folder: Path) -> None:
    # Names of network namespaces are files; here of this mount namespace alone.
    private = "mkdir -p /run/netns\nmount -t tmpfs none /run/netns\n"
    script = f"set -e\n{private}{NETWORK}{node.NAMESPACES}"
    subprocess.run(["bash"], input=script, text=True, check=True)
    servers = [f"ip netns exec web python3 {TRAFFIC} serve {port}" for port in (9090, 9091)]
    proxies = {version: build.folder_of(tool) / "bin" / "kube-proxy" for version, tool in PROXIES.items()}
    with started(*servers), running(folder / "plane") as plane:
        kubeconfig = plane.kubeconfig("admin")
        populate(connect(str(kubeconfig)))
        unset = {
            version: warns_of_unset_mode(path, kubeconfig, folder) for version, path in proxies.items() if path.exists()
        }
        print(json.dumps({"unset": unset, "moves": moves(plane, folder)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
