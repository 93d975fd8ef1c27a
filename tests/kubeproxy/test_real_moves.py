"""The real kube-proxy moved from ipvs to nftables and back, on a node with traffic (tests/real/traffic.py).

The node is the virtual machine of tests/kubeproxy/real_vm.py. What `migrate` and `plan` say is compared with what is
left on the node, and with what became of connections that were held all the while.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from amigen.knowledge import UNSET_MODE, mode_fact
from amigen.kubeproxy.versions import unset_mode, worse
from tests.kubeproxy.real_vm import NODE_PORT, Proof
from tests.kubeproxy.worlds import a_world
from tests.real import nftables_cell, node
from tests.real.build import program as built_program
from tests.real.control_plane import PROXIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HELD = 8
WORLDS = 8
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
echo "rules=$(rules | grep KUBE | tr '\n' ';' || true)"
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


# From iptables mode, as the node is before; moves between iptables and nftables need no virtual machine.
STEPS = ("ipvs", "nftables", "ipvs")


@pytest.fixture(scope="module")
def story(proof: Proof) -> list[dict[str, Any]]:
    """What was seen after each move: `held` are connections that were open before it."""
    found: list[dict[str, Any]] = []
    for number, mode in enumerate(STEPS):
        # A virtual service of something else, such as keepalived.
        proof.shell("ipvsadm -A -t 192.0.2.99:80 -s rr\n" if mode == "nftables" else "true\n")
        held = Held(proof)
        plan = json.loads(proof.run("plan", "--mode", mode, "--output", "json").stdout)
        done = proof.apply("--mode", mode)
        assert done.exit_code == 0, done.stdout + done.stderr
        status = proof.status("--wait", "120", "--interval", "2", "--output", "json")
        step = {"mode": mode, "disruption": plan["disruption"], "warnings": plan["warnings"], "exit": status.exit_code}
        step |= {"status": json.loads(status.stdout), "left": left(proof)}
        step["held"] = held.wait(6)
        held.stop()
        step["reach"] = reach(proof) if number < 2 else {}
        print(json.dumps(step, indent=1), flush=True)
        found.append(step)
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


def test_what_is_left_on_the_node(story: list[dict[str, Any]]) -> None:
    """Nothing but what `migrate` says; `status` proves all addresses in each mode."""
    assert {step["exit"] for step in story} == {0}, [step["status"] for step in story]
    _, nftables, back = story
    left, (status,) = nftables["left"], nftables["status"]
    assert (left["device"], left["services"], left["foreign"], left["tables"]) == ("0", "0", "0", "2")
    assert left["sets"]
    assert [one for one in left["sets"].split() if not one.startswith("KUBE-6-")] == []
    assert any("ipsets of ipvs mode are left over" in one for one in status["notes"])
    facts = "\n".join(status["facts"])
    for fact in ("are in the nftables table", "endpoints are reached", "nothing is stale"):
        assert fact in facts
    assert back["left"]["tables"] == "0"


def test_what_becomes_of_connections(story: list[dict[str, Any]]) -> None:
    """As the plan of each move says: they end with IPVS's table, but for those that are balanced by luck.

    On the way back all ended in one run and none in another, so the plan says that they may.
    """
    _, nftables, back = story
    alive = {name: one["alive"] for name, one in nftables["held"].items()}
    assert "connections to Services end" in "".join(nftables["disruption"])
    assert (alive["host"], alive["pod-node-port"]) == (0, 0)
    assert alive["pod"] < HELD
    assert "connections to Services may end" in "".join(back["disruption"])


def test_pods_with_host_network(story: list[dict[str, Any]]) -> None:
    """What they reach, and from which address they are seen, is the same in ipvs and nftables mode but for two things.

    Both are what `migrate` names: node ports of other addresses, and the addresses of Services on the node itself.
    """
    ipvs, nftables, _ = story
    differ = {name: (ipvs["reach"][name], nftables["reach"][name]) for name in ipvs["reach"]}
    differ = {name: pair for name, pair in differ.items() if pair[0] != pair[1]}

    assert set(differ) == {"host binds", "host to node port of another address"}, differ
    assert differ["host binds"][0] == "yes"
    assert "Cannot assign requested address" in differ["host binds"][1]
    assert any("a pod with hostNetwork" in one for one in nftables["warnings"])
    assert any("nodePortAddresses=(unset)" in one for one in nftables["warnings"])


@pytest.mark.parametrize("mode", ["nftables", "ipvs"])
def test_random_clusters(proof: Proof, story: list[dict[str, Any]], mode: str) -> None:
    """What kube-proxy programs in the node's kernel is what `status` expects, with every kind of address among it."""
    assert story
    assert proof.apply("--mode", mode).exit_code == 0
    nftables_cell.tell_zone(proof.cluster, node.NODE)
    found = []
    for seed in range(WORLDS):
        # Of the other nodes, endpoints alone are needed.
        world = json.loads(json.dumps(a_world(seed)).replace('"node-a"', f'"{node.NODE}"'))
        number = nftables_cell.populate(proof.cluster, world)
        done = proof.status("--wait", "90", "--interval", "2", "--output", "json")
        nftables_cell.depopulate(proof.cluster, world)
        (status,) = json.loads(done.stdout)
        found.append({"seed": seed, "services": number, "differences": status["differences"], "facts": status["facts"]})
    print(json.dumps(found, indent=1), flush=True)

    assert [one for one in found if one["differences"]] == []
    assert sum(one["services"] for one in found) > 3 * WORLDS
    assert proof.status("--wait", "90", "--interval", "2").exit_code == 0, "something is left of the random clusters"


def test_a_damaged_table_is_seen(proof: Proof, story: list[dict[str, Any]]) -> None:
    """An address that is taken out of kube-proxy's table is one difference; kube-proxy puts it back at its start."""
    assert story
    assert proof.apply("--mode", "nftables").exit_code == 0
    assert proof.status("--wait", "120", "--interval", "2").exit_code == 0
    proof.shell("nft delete element ip kube-proxy service-ips '{ 10.96.0.50 . tcp . 80 }'\n")

    broken = proof.status()

    proof.shell(f"systemctl restart {node.UNIT}\n")
    assert broken.exit_code == 6
    assert "ClusterIP TCP 10.96.0.50:80 of default/web is not in the map of service addresses" in broken.stdout
    assert proof.status("--wait", "120", "--interval", "2").exit_code == 0


def test_cleanup_removes_the_rules_in_use(proof: Proof, story: list[dict[str, Any]]) -> None:
    """As `status` says: `kube-proxy --cleanup` spares nothing but the IPv6 ipsets; a restart mends it."""
    assert story
    assert proof.apply("--mode", "nftables").exit_code == 0
    before = left(proof)
    proof.shell("/usr/local/bin/kube-proxy --cleanup 2>&1 || true\n")

    after = left(proof)

    proof.shell(f"systemctl restart {node.UNIT}\n")
    assert (before["tables"], after["tables"]) == ("2", "0")
    assert after["sets"] == before["sets"] != ""
    assert proof.status("--wait", "120", "--interval", "2").exit_code == 0


NOTICES = r"""
systemctl stop {unit} 2>/dev/null || true
cat >/tmp/notices.conf <<'END'
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: /var/lib/kube-proxy/kubeconfig.conf}}
conntrack: {{maxPerCore: 0}}
mode: "{mode}"
END
{program} --config=/tmp/notices.conf --hostname-override={node} >/tmp/notices.log 2>&1 &
for _ in $(seq 120); do grep -q 'Using .* Proxier' /tmp/notices.log && break; kill -0 $! || break; sleep 1; done
sleep 3
kill $! || true
cat /tmp/notices.log
"""


@pytest.mark.parametrize("version", PROXIES)
def test_what_each_version_says_at_its_start(proof: Proof, version: str) -> None:
    """Its warnings of ipvs and of an unset mode, and the versions that they name, are those that amigen tells of."""
    program = f"/usr/local/bin/kube-proxy-{version}"
    node.copy(proof.vm, built_program(PROXIES[version], "kube-proxy"), program, "0755")

    def said(mode: str) -> str:
        return proof.shell(NOTICES.format(unit=node.UNIT, mode=mode, program=program, node=node.NODE))

    ipvs, unset = said("ipvs"), said("")
    for line in (ipvs + unset).splitlines():
        if line.startswith(("W", "E")):
            print(version, line, flush=True)

    assert "Using ipvs Proxier" in ipvs
    assert "Using iptables Proxier" in unset
    assert ("deprecated" in ipvs) == (mode_fact("ipvs", version).state == "deprecated")
    assert ("No kube-proxy mode specified" in unset) == bool(unset_mode("", version))
    if version == max(PROXIES):
        coming = [".".join(map(str, fact.since)) for fact in worse("ipvs", version)]
        assert [one for one in coming if f"Kubernetes {one}" not in ipvs] == []
        assert f"in Kubernetes {'.'.join(map(str, UNSET_MODE['changes']))} the default mode will switch" in unset
