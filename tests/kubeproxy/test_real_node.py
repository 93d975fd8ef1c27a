"""The real kube-proxy in ipvs mode, in a virtual machine of an image that amigen built, and a real API server.

What is played: kubelet (tests/real/node.py). What is real: etcd, kube-apiserver, the DaemonSet controller, kube-proxy,
the kernel with ip_vs, ipvsadm, and the connection.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amigen.ipvs.model import Table, VirtualService
from amigen.ipvs.parse import parse
from amigen.knowledge import SCHEDULERS
from amigen.kubernetes.kinds import PODS, SERVICES
from tests.kubeproxy.real_vm import Proof
from tests.real import node

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_before_the_change_the_node_is_ready_and_in_iptables_mode(proof: Proof) -> None:
    """The plan looks on the node: amigen's user data has loaded the modules."""
    result = proof.run("plan", "--mode", "ipvs", "--scheduler", "sed", "--look", proof.target, *proof.ssh)

    assert result.exit_code == 0, result.stderr
    assert "vm (vm): ready: all that the mode needs is there" in result.stdout
    assert "now: mode iptables" in result.stdout


def test_services_appear_with_the_scheduler(healthy: Proof) -> None:
    """API service, DNS, every ClusterIP with its scheduler and endpoints, nothing stale, kube-ipvs0."""
    result = healthy.status()

    assert result.exit_code == 0
    for fact in ("/proxyMode says ipvs", "the API service and its endpoints are there", "the DNS service and its",
                 "each with the scheduler sed", "nothing is stale", "connection table of 4096",
                 "kube-ipvs0 has all 9 addresses and no other"):  # fmt: skip
        assert fact in result.stdout, result.stdout


def test_apply_reads_the_real_mode_on_the_node(healthy: Proof) -> None:
    """`status` without --node asks each kube-proxy; --look asks it on the node."""
    result = healthy.run("status", "--look", healthy.target, *healthy.ssh)

    assert "vm: ipvs (by looked)" in result.stdout


def test_a_service_that_is_created_and_deleted_is_followed(healthy: Proof) -> None:
    """It appears, and its end leaves nothing stale."""
    healthy.create(SERVICES, node.service("late", "10.96.0.77", ("http", "TCP", 80)), "default")
    assert healthy.status("--wait", "60", "--interval", "1").exit_code == 0
    assert "10.96.0.77:80" in healthy.shell("ipvsadm -L -n")

    healthy.cluster._send("DELETE", SERVICES.path("late", "default"))

    assert healthy.status("--wait", "60", "--interval", "1").exit_code == 0
    assert "10.96.0.77" not in healthy.shell("ipvsadm -L -n; ip addr show kube-ipvs0")


@pytest.mark.parametrize(
    ("damage", "repair", "says"),
    [
        ("ipvsadm -d -t 10.96.0.50:80 -r 10.244.1.2:8080", "ipvsadm -a -t 10.96.0.50:80 -r 10.244.1.2:8080 -m -w 1",
         "lacks the endpoint 10.244.1.2:8080"),
        ("ipvsadm -a -t 10.96.0.50:80 -r 10.9.9.9:80 -m", "ipvsadm -d -t 10.96.0.50:80 -r 10.9.9.9:80",
         "still sends to 10.9.9.9:80, which is no endpoint"),
        ("ipvsadm -E -t 10.96.0.50:80 -s wlc", "ipvsadm -E -t 10.96.0.50:80 -s sed", "has the scheduler wlc; the configuration says sed"),  # noqa: E501
        ("ipvsadm -e -t 10.96.0.50:80 -r 10.244.1.2:8080 -m -w 0", "ipvsadm -e -t 10.96.0.50:80 -r 10.244.1.2:8080 -m -w 1",  # noqa: E501
         "with weight 0"),
        ("ipvsadm -E -t 10.96.0.51:80 -s sed -p 60", "ipvsadm -E -t 10.96.0.51:80 -s sed -p 10800",
         "persistent for 60 s, the Service says ClientIP for 10800 s"),
        ("ipvsadm -A -u 10.96.99.9:53 -s rr", "ipvsadm -D -u 10.96.99.9:53", "UDP 10.96.99.9:53 belongs to no Service"),
        ("ip addr del 10.96.0.50/32 dev kube-ipvs0", "ip addr add 10.96.0.50/32 dev kube-ipvs0",
         "kube-ipvs0 lacks 10.96.0.50 of default/web"),
        ("ip addr add 10.96.88.8/32 dev kube-ipvs0", "ip addr del 10.96.88.8/32 dev kube-ipvs0",
         "kube-ipvs0 has 10.96.88.8, which no Service has"),
    ],
)  # fmt: skip
def test_what_is_broken_is_reported_and_settles(healthy: Proof, damage: str, repair: str, says: str) -> None:
    """One thing broken by hand on the node: one difference, with how long it has lasted; repaired, none."""
    healthy.shell(damage + "\n")

    broken = healthy.status("--wait", "3", "--interval", "1")

    healthy.shell(repair + "\n")
    assert broken.exit_code == 6, broken.stdout
    assert says in broken.stdout
    assert "1 differences" in broken.stdout
    assert "s)" in broken.stdout.split(says)[1].splitlines()[0]
    assert healthy.status("--wait", "30", "--interval", "1").exit_code == 0


def test_a_dead_kube_proxy_is_reported(healthy: Proof) -> None:
    """Nobody answers to /proxyMode; the table still stands."""
    healthy.shell(f"systemctl stop {node.UNIT}\n")

    result = healthy.status()

    pod = next(iter(healthy.kubelet.cluster.list(PODS)))
    healthy.kubelet._start(pod, node.NODE, PODS.path(pod["metadata"]["name"]))
    assert result.exit_code == 6
    assert "kube-proxy does not answer to /proxyMode" in result.stdout


def test_a_connection_through_the_cluster_ip(healthy: Proof) -> None:
    """A client on the node reaches the server in the namespace by the Service's address, and IPVS counts it."""
    slice_ = healthy.cluster._send("GET", node.SLICES.path("web-test", "default")).json()
    slice_["endpoints"] = [one for one in slice_["endpoints"] if one["addresses"] == ["10.244.1.2"]]
    slice_["metadata"].pop("managedFields", None)
    answer = healthy.cluster._send("PUT", node.SLICES.path("web-test", "default"), slice_)
    assert answer.status == 200, answer.data
    assert healthy.status("--wait", "60", "--interval", "1").exit_code == 0

    fetch = "import urllib.request as u; print(u.urlopen('http://10.96.0.50/', timeout=20).read().decode())"
    body = healthy.shell(f'python3 -c "{fetch}"\n')

    assert body.strip() == "served from the namespace"
    connections = healthy.shell("ipvsadm -L -n -c\n")
    assert any(line.split()[-2:] == ["10.96.0.50:80", "10.244.1.2:8080"] for line in connections.splitlines()), (
        connections
    )


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler(proof: Proof, scheduler: str) -> None:
    """Applied through the cluster, seen in the kernel's table."""
    applied = proof.apply("--mode", "ipvs", "--scheduler", scheduler)
    assert applied.exit_code == 0, applied.stdout + applied.stderr

    result = proof.status("--wait", "120", "--interval", "2")

    assert result.exit_code == 0, result.stdout
    assert f"each with the scheduler {scheduler}" in result.stdout
    schedulers = {service.scheduler for service in parse(proof.shell("ipvsadm -L -n\n")).services}
    assert schedulers == {scheduler}


def test_saved_listings_of_every_form(healthy: Proof, tmp_path: Path) -> None:
    """`ipvsadm -L -n`, `ipvsadm -L` and /proc/net/ip_vs of the same table all fit the cluster."""
    for number, command in enumerate(("ipvsadm -L -n", "ipvsadm -L", "cat /proc/net/ip_vs")):
        file = tmp_path / f"{number}.txt"
        file.write_text(healthy.shell(command + "\n"))

        result = healthy.run("status", "--listing", str(file), "--output", "json")

        assert result.exit_code == 0, (command, result.stdout)
        assert json.loads(result.stdout)[0]["differences"] == []


# Everything that ipvsadm can set, in a network namespace of its own.
EVERYTHING = """
unshare -n bash -euo pipefail <<'END'
ip link set lo up
A() { ipvsadm -A "$@"; }
A -t 10.0.0.1:80 -s rr
ipvsadm -a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3
ipvsadm -a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 0
ipvsadm -a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 65535
ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.1:80 -g
A -u 10.0.0.2:53 -s wlc -o
A --sctp-service 10.0.0.3:5060 -s lblc
A -t 10.0.0.4:0 -s wrr -p 600
A -t 10.0.0.5:80 -s sh -b sh-fallback,sh-port -p 300 -M 255.255.255.0
A -t '[fd00::1]:443' -s sed
ipvsadm -a -t '[fd00::1]:443' -r '[fd00::a:1]:8443' -m
A -u '[fd00::2]:53' -s nq -p 60 -M 64
A -t '[fd00::3]:80' -s dh -p 60
A -f 7 -s lblcr
ipvsadm -a -f 7 -r 10.1.0.1:0 -m
A -f 8 -6 -s lc
ipvsadm -a -f 8 -6 -r '[fd00::a:1]:0' -m
printf '=== numeric\\n'; ipvsadm -L -n
printf '=== resolved\\n'; ipvsadm -L
printf '=== kernel\\n'; cat /proc/net/ip_vs
END
"""


def test_the_parser_on_everything_that_ipvsadm_can_set(proof: Proof) -> None:
    """The three real listings of one table say the same."""
    out = proof.shell(EVERYTHING)
    parts = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in out.split("=== ")[1:]}
    numeric, resolved, kernel = (parse(parts[name]) for name in ("numeric", "resolved", "kernel"))

    assert len(numeric.services) == 8  # without those of firewall marks
    flat = {str(one): one for one in numeric.services}
    assert flat["TCP 10.0.0.5:80"].persistent == 300
    assert {server.forward for server in flat["TCP 10.0.0.1:80"].servers} >= {"Masq", "Route", "Tunnel"}
    assert [one.key for one in resolved.services] == [one.key for one in numeric.services]
    assert _comparable(kernel) == _comparable(numeric), out


def _comparable(table: Table) -> list[tuple[object, ...]]:
    """Without order, and without the seconds, which /proc/net/ip_vs does not show."""

    def row(one: VirtualService) -> tuple[object, ...]:
        servers = sorted((str(server.place), server.forward, server.weight) for server in one.servers)
        return str(one), one.scheduler, one.persistent is not None, servers

    return sorted(map(row, table.services), key=str)


def test_what_ipvs_mode_leaves_behind_is_seen(healthy: Proof) -> None:
    """kube-proxy does not clean up between ipvs and iptables (kubernetes issue 102314): status says it."""
    done = healthy.apply("--mode", "iptables")
    assert done.exit_code == 0, done.stderr
    time.sleep(3)

    result = healthy.status()

    assert result.exit_code == 6
    assert "/proxyMode says iptables, as configured" in result.stdout
    assert "virtual services are still there" in result.stdout
    assert "kube-ipvs0 is still there" in result.stdout
