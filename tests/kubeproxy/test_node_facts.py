"""What a node shows of its kube-proxy: answers, targets, and what cannot be reached."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.connections.model import Connection, Target
from amigen.facts import Answer, Facts, gather_script
from amigen.kubeproxy import node_facts
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.node_facts import DEFAULT_METRICS, NodeFacts, gather, node_at, read_node
from amigen.kubeproxy.status import NodeStatus, judge
from amigen.kubeproxy.watch import watch
from tests.ipvs.test_compare import BOUND, LISTING, wanted
from tests.kubeproxy import samples
from tests.testing.ssm_server import INSTANCE, ssm_server

BOUND_TEXT = (
    "".join(
        f"3: kube-ipvs0    inet {address} scope global kube-ipvs0\\       valid_lft forever preferred_lft forever\n"
        for address in ("10.96.0.1/32", "10.96.0.10/32", "10.96.0.50/32")
    )
    + "3: kube-ipvs0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n"
)
# What a healthy node answers to each command; other commands fail.
SAID = {"host": "node-a\n", "mode": "ipvs", "table": LISTING, "bound": BOUND_TEXT}


def a_node(said: Mapping[str, str] = SAID, **facts: Any) -> NodeFacts:
    """A node that answers this."""
    commands = {
        command: Answer(code=0 if name in said else 1, stdout=said.get(name, ""))
        for name, command in node_facts._commands(DEFAULT_METRICS).items()
    }
    return read_node(Facts(commands=commands, **facts))


IPVS_CONFIG = read_config(
    samples.EKS_CONFIG.replace('"iptables"', '"ipvs"').replace('scheduler: ""', "scheduler: sed"), "x"
)


class Canned(Connection):
    """A connection that prints this."""

    def __init__(self, out: bytes, *, code: int = 0, err: bytes = b"") -> None:
        super().__init__(Target(text="canned", kind="ssh", name="canned"))
        self.done = subprocess.CompletedProcess((), code, out, err)

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        del script
        return self.done


def test_what_is_read_of_a_node() -> None:
    """Each answer; what failed is not known."""
    found = a_node(
        SAID
        | {"nft": "nftables v1.0.6 (Lester Gooch #5)\n", "timeouts": "Timeout (tcp tcpfin udp): 900 120 300\n"}
        | {"sets": "KUBE-CLUSTER-IP\nother\n", "addresses": "2: eth0    inet 192.0.2.1/24 brd x\n" + BOUND_TEXT},
        settings={"/proc/sys/net/ipv4/vs/expire_nodest_conn": "1"},
    )

    assert (found.host, found.mode, found.nft, found.timeouts) == ("node-a", "ipvs", (1, 0, 6), (900, 120, 300))
    assert found.bound == BOUND | {ip_address("fe80::1")}
    assert found.addresses == frozenset({ip_address("192.0.2.1")})
    assert found.sets == {"KUBE-CLUSTER-IP", "other"}
    assert found.sysctls == {"net.ipv4.vs.expire_nodest_conn": "1"}
    assert a_node({}) == NodeFacts(of_node=a_node({}).of_node)


def test_a_healthy_node() -> None:
    """All facts, no difference."""
    found = judge(a_node(), IPVS_CONFIG, wanted(), "node-a")

    assert found.differences == []
    assert len(found.facts) == 9


@pytest.mark.parametrize(
    ("said", "config", "kind"),
    [
        ({"mode": "iptables"}, IPVS_CONFIG, "mode"),
        ({"mode": "<html>"}, IPVS_CONFIG, "mode"),
        ({"table": ""}, IPVS_CONFIG, "missing-service"),
        ({"bound": ""}, IPVS_CONFIG, "missing-address"),
        ({}, read_config(samples.EKS_CONFIG, "x"), "stale-service"),
        ({}, read_config(samples.EKS_CONFIG, "x"), "stale-address"),
        ({"sets": "KUBE-CLUSTER-IP\nKUBE-6-CLUSTER-IP\n"}, read_config(samples.EKS_CONFIG, "x"), "leftover"),
    ],
)
def test_a_sick_node(said: dict[str, str], config: ProxyConfig, kind: str) -> None:
    """Mode, no table, no addresses, and what ipvs mode left under another one."""
    found = judge(a_node(SAID | said), config, wanted(), "node-a")

    assert kind in {one.kind for one in found.differences}


@pytest.mark.parametrize(
    ("mode", "says"),
    [("iptables", "kube-proxy must be restarted right after it"), ("nftables", "restart kube-proxy there")],
)
def test_the_way_out_does_not_break_the_mode_in_use(mode: str, says: str) -> None:
    """`kube-proxy --cleanup` removes the rules of every mode."""
    config = read_config(samples.EKS_CONFIG.replace('"iptables"', f'"{mode}"'), "x")

    found = judge(a_node(SAID | {"mode": mode}), config, wanted(), "node-a").differences

    left = [one for one in found if one.subject != "the nftables table"]
    assert left
    assert [one for one in left if says not in one.why] == []


def test_sets_of_other_programs_are_not_kube_proxys() -> None:
    """kube-router names its own KUBE-SRC-..., and in ipvs mode they are in use."""
    other = read_config(samples.EKS_CONFIG, "x")

    assert judge(a_node({"mode": "iptables", "sets": "KUBE-SRC-ABC\n"}), other, wanted(), "n").differences == []
    assert judge(a_node(SAID | {"sets": "KUBE-CLUSTER-IP\n"}), IPVS_CONFIG, wanted(), "n").differences == []


ARP = {"/proc/sys/net/ipv4/conf/all/arp_ignore": "1", "/proc/sys/net/ipv4/conf/all/arp_announce": "2"}


def test_settings_that_took_no_effect() -> None:
    """Timeouts and strictARP; 0 leaves the kernel's own, and what cannot be read is not judged."""
    config = IPVS_CONFIG.edited({"ipvs.tcpTimeout": "15m", "ipvs.udpTimeout": "0s", "ipvs.strictARP": True})
    said = SAID | {"timeouts": "Timeout (tcp tcpfin udp): 800 120 300\n"}
    wrong = judge(a_node(said, settings={**ARP, "/proc/sys/net/ipv4/conf/all/arp_ignore": "0"}), config, wanted(), "n")
    right = judge(
        a_node(SAID | {"timeouts": said["timeouts"].replace("800", "900")}, settings=ARP), config, wanted(), "n"
    )

    assert [one.says for one in wrong.differences] == [
        "ipvs.tcpTimeout is 800 s in the kernel, the configuration says 900 s",
        "net.ipv4.conf.all.arp_ignore is 0, strictARP needs 1",
    ]
    assert right.differences == []
    assert "timeouts of 900 s (TCP), 120 s (TCP after FIN), 300 s (UDP)" in right.facts
    assert judge(a_node(), config, wanted(), "n").differences == []


def test_arp_settings_that_are_left() -> None:
    """A note and no difference: MetalLB needs the same."""
    found = judge(a_node({"mode": "iptables"}, settings=ARP), read_config(samples.EKS_CONFIG, "x"), wanted(), "n")

    assert found.differences == []
    assert "as strictARP of ipvs mode sets them" in found.notes[0]


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_connections_to_removed_servers(protocol: str) -> None:
    """Where the kernel ends them at the next packet, they are idle: a note. Elsewhere their packets are dropped."""
    vip = {"UDP": "0A60000A 0035", "TCP": "0A600032 0050"}[protocol]
    said = SAID | {"connections": f"3 {protocol} {vip} 0A010009 0035\n"}
    expire = "/proc/sys/net/ipv4/vs/expire_nodest_conn"

    idle = judge(a_node(said, settings={expire: "1"}), IPVS_CONFIG, wanted(), "n")
    stuck = judge(a_node(said, settings={expire: "0"}), IPVS_CONFIG, wanted(), "n")

    assert (idle.differences, len(idle.notes)) == ([], 1)
    assert "3 connections go to 1 removed servers" in idle.notes[0]
    assert [one.kind for one in stuck.differences] == ["connections"]
    assert "sysctl -w net.ipv4.vs.expire_nodest_conn=1" in stuck.differences[0].why


def test_a_node_where_the_script_cannot_run() -> None:
    """No root, or cut off half-way."""
    with pytest.raises(CouldNotCheckError, match="sudo: a password is required"):
        gather(Canned(b"", code=1, err=b"sudo: a password is required\n"))
    with pytest.raises(CouldNotCheckError, match=r"cut short|printed no output"):
        gather(Canned(b"\ntoken loaded 0\n"))


@pytest.mark.parametrize(
    ("target", "host", "user", "port"),
    [("ssh://ec2-user@192.0.2.1:2222", "192.0.2.1", "ec2-user", 2222), ("ssh://node.example", "node.example", "", None),
     ("ssh://[2001:db8::1]:22", "2001:db8::1", "", 22)],
)  # fmt: skip
def test_targets(target: str, host: str, user: str, port: int | None) -> None:
    """As `amigen verify` reads them."""
    found = node_at(target)

    named = found.target
    assert (named.kind, named.name, named.user, named.port) == ("ssh", host, user, port or 0)
    assert node_at("local").target.text == "local"


@pytest.mark.parametrize(
    "target",
    [
        *("", "node", "http://x", "ssh://-oProxyCommand=x", "ssh://u:secret@h", "ssh://h:99999", "ssh://h/x", "ssh://"),
        *("ssm://", "ssm://node", "ssm://i-0123456789abcdef0?x=y", "chroot:///", "/", __file__),
    ],
)
def test_wrong_targets(target: str) -> None:
    """An error that names the forms, and never prints a password."""
    with pytest.raises(InputError) as caught:
        node_at(target)

    assert "secret" not in str(caught.value)


def test_looking_over_session_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script runs on the instance; the stand-in for Session Manager runs it here."""
    for key, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    with ssm_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        found = node_at(f"ssm://{INSTANCE}?region=eu-central-1")

        facts = gather(found)

        assert facts.of_node.kernel == os.uname().release
        with pytest.raises(CouldNotCheckError, match="Session Manager"):
            gather(node_at("ssm://i-00000000000000000?region=eu-central-1"))


def test_an_unreachable_host() -> None:
    """ssh's own words."""
    with pytest.raises(AmigenError) as caught:
        gather(node_at("ssh://127.0.0.1:1"))

    assert caught.value.exit_code in (7, 9)


@pytest.mark.parametrize(
    ("metrics", "url"),
    [("127.0.0.1:10249", "127.0.0.1:10249"), ("0.0.0.0:1234", "127.0.0.1:1234"), ("[::]:7", "[::1]:7"),
     ("", "127.0.0.1:10249"), ("$(reboot):1", "127.0.0.1:10249"), ("x;y:1", "127.0.0.1:10249")],
)  # fmt: skip
def test_the_script_takes_only_an_address(metrics: str, url: str) -> None:
    """metricsBindAddress comes out of a ConfigMap and lands in a shell script."""
    script = gather_script(node_facts.wanted(metrics), "token")

    assert f"http://{url}/proxyMode" in script
    assert "HOST" not in script


def test_the_script_loads_nothing_and_changes_nothing() -> None:
    """Only commands that read."""
    script = gather_script(node_facts.wanted(), "token")

    for word in ("modprobe ", "ipvsadm -A", "ipvsadm -C", "ip link add", "ip link del", "sysctl -w", ">/proc", " rm "):
        assert word not in re.sub(r"(?m)^\s*#.*$", "", script)


@pytest.mark.parametrize(("code", "says"), [(0, "made by ipvsadm"), (255, "as the kernel says")])
def test_an_ipvsadm_that_fails_is_not_taken_for_an_empty_node(tmp_path: Path, code: int, says: str) -> None:
    """Then the kernel's own file says it; both programs are played."""
    (tmp_path / "ip_vs").write_text("as the kernel says\n")
    (tmp_path / "ipvsadm").write_text(f"#!/bin/sh\necho made by ipvsadm\nexit {code}\n")
    (tmp_path / "ipvsadm").chmod(0o755)
    text = node_facts._TABLE.replace("/proc/net/ip_vs", str(tmp_path / "ip_vs"))

    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    assert done.stdout == says + "\n"


def test_the_script_runs_here() -> None:
    """The real script in a real shell; this machine may have no kube-proxy at all."""
    done = node_at("local").run("true")
    if done.returncode:
        pytest.skip(f"not proven here: no root: {done.stderr.decode().strip()}")

    found = gather(node_at("local"))

    assert found.host
    assert found.of_node.kernel == os.uname().release
    assert found.addresses


def test_ipv6_sets_that_kube_proxy_leaves_behind() -> None:
    """A note alone: they are there after every move from ipvs to nftables. The kernel cuts long names."""
    config = read_config(samples.EKS_CONFIG.replace('"iptables"', '"nftables"'), "x")
    names = (
        "KUBE-6-CLUSTER-IP",
        "KUBE-6-LOAD-BALANCER-SOURCE-CID",
        "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS",
        "KUBE-6-OF-OTHERS",
    )

    found = judge(a_node({"mode": "nftables", "sets": "\n".join(names)}), config, wanted(), "n")

    assert [one.subject for one in found.differences] == ["the nftables table"]
    assert found.notes[0].startswith("3 IPv6 ipsets of ipvs mode are left over, and harmless: ")
    assert "ipset destroy" in found.notes[0]


def test_watching_counts_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference that comes, lasts and goes."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    sick = SAID | {"table": LISTING.replace("10.96.0.50:80 sed", "10.96.0.50:80 rr")}
    answers = iter([SAID | {"table": LISTING.replace("10.1.0.4:8080", "10.1.0.5:8080")}, sick, sick])
    said: list[str] = []

    def once() -> tuple[NodeStatus, ...]:
        return (NodeStatus(subject="a", key="a", found=judge(a_node(next(answers)), IPVS_CONFIG, wanted(), "node-a")),)

    _, lasted = watch(once, seconds=10.0, interval=5.0, say=said.append)

    assert [round(seconds) for seconds in lasted.values()] == [5]
    assert [line.split(":")[0] for line in said] == ["differs", "differs", "differs", "settled", "settled"]


def test_watching_ends_when_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the sake of it."""
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("slept"))

    states, lasted = watch(
        lambda: (NodeStatus(subject="n", key="n", found=judge(a_node(), IPVS_CONFIG, wanted(), "n")),),
        seconds=60.0,
        interval=5.0,
        say=lambda line: pytest.fail(line),
    )

    assert (len(states), lasted) == (1, {})
