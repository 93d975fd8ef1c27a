"""A real node for a real kube-proxy: a virtual machine that amigen's user data made ready; its kubelet is played.

The kubelet's part is small: it takes the pod of the DaemonSet as the sign to run kube-proxy in the machine, with the
very text that the ConfigMap holds. kube-proxy, its mode, the kernel and the IPVS table are real.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amigen.kubernetes.kinds import CONFIG_MAPS, ENDPOINT_SLICES, NODES
from tests.real.control_plane import ControlPlane
from tests.real.kubelet import PretendKubelet
from tests.testbed.guest import copy_to

if TYPE_CHECKING:
    from amigen.vm import Machine

NODE = "vm"
UNIT = "kube-proxy"
SLICES = ENDPOINT_SLICES


def run(machine: Machine, script: str, *, timeout: float = 300) -> str:
    """Run a script as root; its output. Fails with what it said."""
    done = machine.run("sudo -n bash -euo pipefail -s", stdin=script, timeout=timeout)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy(machine: Machine, source: Path, target: str, mode: str = "0600") -> None:
    copy_to(machine, source, f"/tmp/{source.name}")
    run(machine, f"install -D -m {mode} /tmp/{source.name} {target}; rm /tmp/{source.name}\n")


def install(machine: Machine, plane: ControlPlane) -> None:
    """kube-proxy's program, its kubeconfig and traffic.py; the host's loopback is 10.0.2.2 in QEMU's user network."""
    copy(machine, plane.programs["kube-proxy"], "/usr/local/bin/kube-proxy", "0755")
    copy(machine, Path(__file__).with_name("traffic.py"), "/usr/local/bin/traffic.py", "0755")
    kubeconfig = plane.kubeconfig("admin", server=f"https://10.0.2.2:{plane.port}")
    copy(machine, kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf")


@dataclass
class VmKubelet(PretendKubelet):
    """Plays kubelet for the node `vm`: runs the real kube-proxy there."""

    machine: Machine | None = None

    def _start(self, item: dict[str, Any], node: str, path: str) -> None:
        assert self.machine is not None
        if node == NODE:
            text = self.cluster.get(CONFIG_MAPS, "kube-proxy")["data"]["config.conf"]
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "config.conf"
                file.write_text(text)
                copy(self.machine, file, "/var/lib/kube-proxy/config.conf")
            run(
                self.machine,
                f"systemctl stop {UNIT} 2>/dev/null || true; systemctl reset-failed {UNIT} 2>/dev/null || true\n"
                f"systemd-run --quiet --unit={UNIT} --property=Restart=on-failure --property=RestartSec=5 "
                f"/usr/local/bin/kube-proxy --config=/var/lib/kube-proxy/config.conf --hostname-override={NODE}\n",
            )
        super()._start(item, node, path)


def add_node(kubelet: VmKubelet) -> None:
    """The Node object, with the machine's own address."""
    kubelet.add_node(NODE, labels={"karpenter.sh/nodepool": "vm", "topology.kubernetes.io/zone": "zone-a"})
    addresses = [{"type": "InternalIP", "address": "10.0.2.15"}, {"type": "Hostname", "address": NODE}]
    body = {"status": {"addresses": [{"$patch": "replace"}, *addresses]}}
    answer = kubelet.cluster._send(
        "PATCH", f"{NODES.path(NODE)}/status", body, "application/strategic-merge-patch+json"
    )
    assert answer.status == 200, answer.data


def service(name: str, ip: str, *ports: tuple[str, str, int], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"k8s-app": name}},
        "spec": {
            "clusterIP": ip,
            "ports": [{"name": label, "protocol": protocol, "port": port} for label, protocol, port in ports],
        }
        | spec,
    }


def endpoints(name: str, addresses: list[str], *ports: tuple[str, str, int]) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-test", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": label, "protocol": protocol, "port": port} for label, protocol, port in ports],
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
    }


# Two network namespaces, as pods have them: a server of 10.244.1.2 and a client of 10.244.2.2. The node forwards, as a
# network plugin makes it; kube-proxy does so itself in ipvs mode only.
NAMESPACES = """
sysctl -qw net.ipv4.ip_forward=1
add() {
  ip netns add "$1"
  ip link add "veth-$1" type veth peer name eth0 netns "$1"
  ip addr add "10.244.$2.1/24" dev "veth-$1"
  ip link set "veth-$1" up
  ip -n "$1" addr add "10.244.$2.2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
  ip -n "$1" route add default via "10.244.$2.1"
}
add web 1
add client 2
"""
# The same server runs on the host, as a pod with hostNetwork does.
SERVERS = """
mkdir -p /srv/web
echo 'served from the namespace' >/srv/web/index.html
systemd-run --quiet --unit=web ip netns exec web python3 -m http.server --directory /srv/web 8080
for port in 9090 9091; do
  systemd-run --quiet --unit="echo-$port" ip netns exec web python3 /usr/local/bin/traffic.py serve "$port"
done
systemd-run --quiet --unit=echo-host python3 /usr/local/bin/traffic.py serve 9090
"""
