"""Looking at a node: the script's answer, targets, and what cannot be reached."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.kubeproxy import look as look_module
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.look import Snapshot, look, script
from amigen.kubeproxy.rollout import Clock
from amigen.kubeproxy.run import ConnectionRunner, runner
from amigen.kubeproxy.status import NodeStatus, judge
from amigen.kubeproxy.watch import watch
from tests.ipvs.test_compare import BOUND, LISTING, wanted
from tests.kubeproxy import samples
from tests.testing.ssm_server import INSTANCE, ssm_server

ANSWER = (
    "=== amigen host\nnode-a\n=== amigen kernel\n6.1.0\n=== amigen proxyMode\nipvs\n=== amigen ipvs\n"
    + LISTING
    + "=== amigen kube-ipvs0\n"
    + "3: kube-ipvs0    inet 10.96.0.1/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever\n"
    + "3: kube-ipvs0    inet 10.96.0.10/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever\n"
    + "3: kube-ipvs0    inet 10.96.0.50/32 scope global kube-ipvs0\\       valid_lft forever preferred_lft forever\n"
    + "3: kube-ipvs0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n"
    + "=== amigen modules\nip_vs\nip_vs_sed\nnf-conntrack\n=== amigen loadable\nip-vs-rr\n"
    + "=== amigen release\n=== amigen nft\n=== amigen end\n"
)
IPVS_CONFIG = read_config(
    samples.EKS_CONFIG.replace('"iptables"', '"ipvs"').replace('scheduler: ""', "scheduler: sed"), "x"
)


@dataclass
class Canned:
    """A node that answers this."""

    out: str
    code: int = 0
    err: str = ""
    name: str = "canned"

    def run(self, script: str) -> tuple[int, str, str]:
        del script
        return self.code, self.out, self.err


def test_a_snapshot() -> None:
    """Every section."""
    found = look(Canned(ANSWER))

    assert (found.host, found.kernel, found.mode) == ("node-a", "6.1.0", "ipvs")
    assert found.bound == BOUND | {ip_address("fe80::1")}
    assert found.modules == {"ip_vs", "ip_vs_sed", "nf_conntrack"}
    assert found.loadable == {"ip_vs_rr"}


def test_a_healthy_node() -> None:
    """All facts, no difference."""
    found = judge(look(Canned(ANSWER)), IPVS_CONFIG, wanted(), "node-a")

    assert found.differences == ()
    assert len(found.facts) == 9


@pytest.mark.parametrize(
    ("answer", "config", "kind"),
    [
        (ANSWER.replace("proxyMode\nipvs", "proxyMode\niptables"), IPVS_CONFIG, "mode"),
        (ANSWER.replace("proxyMode\nipvs", "proxyMode\n<html>"), IPVS_CONFIG, "mode"),
        (ANSWER.replace(LISTING, "\n"), IPVS_CONFIG, "missing-service"),
        (ANSWER.replace("=== amigen kube-ipvs0", "=== amigen other"), IPVS_CONFIG, "missing-address"),
        (ANSWER, read_config(samples.EKS_CONFIG, "x"), "stale-service"),
        (ANSWER, read_config(samples.EKS_CONFIG, "x"), "stale-address"),
    ],
)
def test_a_sick_node(answer: str, config: object, kind: str) -> None:
    """Mode, no table, no kube-ipvs0, and leftovers of ipvs mode under another one."""
    found = judge(look(Canned(answer)), config, wanted(), "node-a")  # type: ignore[arg-type]

    assert kind in {one.kind for one in found.differences}


def test_a_node_where_the_script_cannot_run() -> None:
    """No root, or cut off half-way."""
    with pytest.raises(CouldNotCheckError, match="sudo: a password is required"):
        look(Canned("", code=1, err="sudo: a password is required\n"))
    with pytest.raises(CouldNotCheckError):
        look(Canned(ANSWER.replace("=== amigen end\n", "")))


@pytest.mark.parametrize(
    ("target", "host", "user", "port"),
    [("ssh://ec2-user@192.0.2.1:2222", "192.0.2.1", "ec2-user", 2222), ("ssh://node.example", "node.example", "", None),
     ("ssh://[2001:db8::1]:22", "2001:db8::1", "", 22)],
)  # fmt: skip
def test_targets(target: str, host: str, user: str, port: int | None) -> None:
    """As `amigen verify` reads them."""
    found = runner(target)

    assert isinstance(found, ConnectionRunner)
    named = found.connection.target
    assert (named.kind, named.name, named.user, named.port) == ("ssh", host, user, port or 0)
    assert runner("local").name == "local"


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
        runner(target)

    assert "secret" not in str(caught.value)


def test_looking_over_session_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script runs on the instance; the stand-in for Session Manager runs it here."""
    for key, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    with ssm_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        found = runner(f"ssm://{INSTANCE}?region=eu-central-1")

        snapshot = look(found)

        assert snapshot.kernel == os.uname().release
        with pytest.raises(CouldNotCheckError, match="Session Manager"):
            runner("ssm://i-00000000000000000?region=eu-central-1").run("true")


def test_an_unreachable_host() -> None:
    """ssh's own words."""
    with pytest.raises(AmigenError) as caught:
        runner("ssh://127.0.0.1:1").run("true")

    assert caught.value.exit_code in (7, 9)


@pytest.mark.parametrize(
    ("metrics", "url"),
    [("127.0.0.1:10249", "127.0.0.1:10249"), ("0.0.0.0:1234", "127.0.0.1:1234"), ("[::]:7", "[::1]:7"),
     ("", "127.0.0.1:10249"), ("$(reboot):1", "127.0.0.1:10249"), ("x;y:1", "127.0.0.1:10249")],
)  # fmt: skip
def test_the_script_takes_only_an_address(metrics: str, url: str) -> None:
    """metricsBindAddress comes out of a ConfigMap and lands in a shell script."""
    assert f"http://{url}/proxyMode" in script(metrics)
    assert "@HOST@" not in script(metrics)


def test_the_script_loads_nothing_and_changes_nothing() -> None:
    """Only commands that read."""
    text = (Path(look_module.__file__).parent / "look.sh").read_text()

    for word in ("modprobe", "ipvsadm -A", "ipvsadm -C", "ip link add", "ip link del", "sysctl -w", ">/proc", " rm "):
        assert word not in text


@pytest.mark.parametrize(("code", "says"), [(0, "made by ipvsadm"), (255, "as the kernel says")])
def test_an_ipvsadm_that_fails_is_not_taken_for_an_empty_node(tmp_path: Path, code: int, says: str) -> None:
    """Then the kernel's own file says it; both programs are played."""
    (tmp_path / "ip_vs").write_text("as the kernel says\n")
    (tmp_path / "ipvsadm").write_text(f"#!/bin/sh\necho made by ipvsadm\nexit {code}\n")
    (tmp_path / "ipvsadm").chmod(0o755)
    text = (
        (Path(look_module.__file__).parent / "look.sh").read_text().replace("/proc/net/ip_vs", str(tmp_path / "ip_vs"))
    )
    function = text[text.index("ipvs_table() {") : text.index("release=")]
    path = f"{tmp_path}:/usr/bin:/bin"

    done = subprocess.run(["sh", "-c", function + "ipvs_table"], capture_output=True, text=True, env={"PATH": path})

    assert done.stdout == says + "\n"


def test_the_script_runs_here() -> None:
    """The real script in a real shell; this machine may have no kube-proxy at all."""
    code, out, err = runner("local").run(script())
    if code != 0:
        pytest.skip(f"no root here: {err.strip()}")

    found = look(Canned(out))

    assert found.host
    assert found.kernel


def test_watching_counts_how_long() -> None:
    """A difference that comes, lasts and goes."""
    now = [0.0]
    clock = Clock(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    sick = ANSWER.replace("10.96.0.50:80 sed", "10.96.0.50:80 rr")
    answers = iter([ANSWER.replace("10.1.0.4:8080", "10.1.0.5:8080"), sick, sick])
    said: list[str] = []

    def once() -> tuple[NodeStatus, ...]:
        return (judge(look(Canned(next(answers))), IPVS_CONFIG, wanted(), "node-a"),)

    _, lasted = watch(once, clock, seconds=10.0, interval=5.0, say=said.append)

    assert [round(seconds) for seconds in lasted.values()] == [5]
    assert [line.split(":")[0] for line in said] == ["differs", "differs", "differs", "settled", "settled"]


def test_watching_ends_when_all_is_well() -> None:
    """No waiting for the sake of it."""
    clock = Clock(monotonic=lambda: 0.0, sleep=lambda seconds: pytest.fail("slept"))

    states, lasted = watch(
        lambda: (judge(look(Canned(ANSWER)), IPVS_CONFIG, wanted(), "n"),),
        clock,
        seconds=60.0,
        interval=5.0,
        say=lambda line: pytest.fail(line),
    )

    assert (len(states), lasted) == (1, {})
    assert isinstance(look(Canned(ANSWER)), Snapshot)
