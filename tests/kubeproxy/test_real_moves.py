"""The real kube-proxy moved from ipvs to nftables and back, on a node with traffic (tests/real/traffic.py).

The node is the virtual machine of tests/kubeproxy/real_vm.py. What `migrate` and `plan` say is compared with what is
left on the node, and with what became of connections that were held all the while.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.kubeproxy.real_vm import NODE_PORT, Proof

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HELD = 10
# From a pod and from the host, to a ClusterIP and to a node port.
CLIENTS = {
    "pod": "ip netns exec client {} 10.96.0.61 80",
    "host": "{} 10.96.0.61 80",
    "pod-node-port": f"ip netns exec client {{}} 10.0.2.15 {NODE_PORT}",
}
LEFT = r"""
echo "device=$(ip -o link show kube-ipvs0 2>/dev/null | wc -l)"
echo "services=$(ipvsadm -L -n | grep -c -E '^(TCP|UDP|SCTP)' || true)"
echo "foreign=$(ipvsadm -L -n | grep -c 192.0.2.99 || true)"
echo "sets=$(ipset list -n | grep ^KUBE- | tr '\n' ' ' || true)"
echo "tables=$(nft list tables | grep -c ' kube-proxy$' || true)"
rules() { { iptables-save; ip6tables-save; } 2>/dev/null; }
echo "chains=$(rules | grep ^:KUBE | cut -d' ' -f1 | sort -u | tr '\n' ' ' || true)"
"""


def left(proof: Proof) -> dict[str, str]:
    """What each mode has on the node."""
    return dict(line.split("=", 1) for line in proof.shell(LEFT).splitlines())


class Held:
    """Connections that are held on the node."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        for name, words in CLIENTS.items():
            command, _, place = words.format("|").partition("|")
            proof.shell(
                f"rm -f /tmp/{name}.json; systemctl stop hold-{name} 2>/dev/null || true\n"
                f"systemd-run --quiet --collect --unit=hold-{name} {command}"
                f"python3 /usr/local/bin/traffic.py hold /tmp/{name}.json {place} {HELD}\n"
            )
        self.wait(2)
        assert {name: one["alive"] for name, one in self.look().items()} == dict.fromkeys(CLIENTS, HELD)

    def look(self) -> dict[str, Any]:
        return {
            name: json.loads(self.proof.shell(f"cat /tmp/{name}.json 2>/dev/null || echo '{{}}'")) for name in CLIENTS
        }

    def wait(self, rounds: int) -> dict[str, Any]:
        """Let each client go through some more rounds."""
        begin = {name: one.get("rounds", 0) for name, one in self.look().items()}
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            now = self.look()
            if all(one.get("rounds", 0) >= begin[name] + rounds for name, one in now.items()):
                return now
            time.sleep(1)
        raise AssertionError(f"the clients do not go on: {now}")

    def stop(self) -> None:
        for name in CLIENTS:
            self.proof.shell(f"systemctl stop hold-{name} || true\n")


@pytest.fixture(scope="module")
def story(proof: Proof) -> dict[str, Any]:
    """ipvs, nftables, ipvs: what was seen at each step."""
    found: dict[str, Any] = {}
    for mode in ("ipvs", "nftables", "back"):
        held = Held(proof) if found else None
        # A virtual service of something else, such as keepalived.
        proof.shell("ipvsadm -A -t 192.0.2.99:80 -s rr 2>/dev/null || true; ipvsadm -L -n | grep -c 192.0.2.99\n")
        found[f"{mode}: plan"] = proof.run("plan", "--mode", "ipvs" if mode == "back" else mode).stdout
        done = proof.apply("--mode", "ipvs" if mode == "back" else mode)
        assert done.exit_code == 0, done.stdout + done.stderr
        status = proof.status("--wait", "120", "--interval", "2")
        found[f"{mode}: status"] = (status.exit_code, status.stdout)
        found[f"{mode}: left"] = left(proof)
        found[f"{mode}: reach"] = reach(proof)
        if held is not None:
            found[f"{mode}: held"] = held.wait(6)
            held.stop()
        if mode == "ipvs":
            found["migrate"] = json.loads(
                proof.run("migrate", "--look", proof.target, *proof.ssh, "--output", "json").stdout
            )
    print(json.dumps(found, indent=1))
    return found


# What a process of the host, and one of a pod, reach; and which address the server sees.
REACH = f"""
ask() {{ timeout 15 "$@" 2>&1 | tail -n 1 | tr -d '=' || true; }}
T="python3 /usr/local/bin/traffic.py ask"
echo "host to pod=$(ask $T 10.96.0.61 80)"
echo "host to host=$(ask $T 10.96.0.60 80)"
echo "pod to pod=$(ask ip netns exec client $T 10.96.0.61 80)"
echo "pod to host=$(ask ip netns exec client $T 10.96.0.60 80)"
echo "pod to itself=$(ask ip netns exec web $T 10.96.0.61 80)"
echo "host to other port=$(ask $T 10.96.0.61 9090)"
echo "pod to other port=$(ask ip netns exec client $T 10.96.0.61 9090)"
echo "host to node port=$(ask $T 10.0.2.15 {NODE_PORT})"
echo "host to node port of another address=$(ask $T 10.244.1.1 {NODE_PORT})"
echo "host to node port of loopback=$(ask $T 127.0.0.1 {NODE_PORT})"
echo "pod to node port=$(ask ip netns exec client $T 10.0.2.15 {NODE_PORT})"
echo "host binds=$(ask python3 -c "import socket; socket.socket().bind(('10.96.0.61', 9999)); print('yes')")"
echo "host pings=$(ping -c 1 -W 3 10.96.0.61 >/dev/null 2>&1 && echo yes || echo no)"
"""


def reach(proof: Proof) -> dict[str, str]:
    return dict(line.split("=", 1) for line in proof.shell(REACH).splitlines())


def test_the_story(story: dict[str, Any]) -> None:
    assert story
