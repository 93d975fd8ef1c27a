"""The ConfigMap's way against a real API server and the real DaemonSet controller; kubelets are played."""

from __future__ import annotations

import difflib
import http.server
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from amigen.kubeproxy.daemonset import KEPT_STRATEGY, RESTARTED
from amigen.kubeproxy.saved import Saved, save
from amigen.kubernetes.kinds import CONFIG_MAPS, DAEMON_SETS, PODS
from tests.kubeproxy import samples
from tests.kubeproxy.real_world import World

pytestmark = pytest.mark.slow


def test_apply_changes_two_lines_and_keeps_every_other_byte(world: World) -> None:
    """The mode and the scheduler change; comments, quotes and unknown fields stay."""
    result = world.run("apply", "--mode", "ipvs", "--scheduler", "sed", "--yes")

    assert result.exit_code == 0, result.output + result.stderr
    changed = [
        line for line in difflib.ndiff(samples.KUBEADM_CONFIG.split("\n"), world.text().split("\n")) if line[0] in "+-"
    ]
    assert changed == [
        '-   scheduler: ""   # empty is rr',
        '+   scheduler: "sed"   # empty is rr',
        '- mode: ""',
        '+ mode: "ipvs"',
    ]
    assert world.cluster.get(CONFIG_MAPS, "kube-proxy")["data"]["kubeconfig.conf"] == "other"


def test_apply_restarts_follows_and_reads_the_mode_back(world: World) -> None:
    """Each node's pod is new and ready, with progress, and its real mode is printed."""
    before = {item["metadata"]["uid"] for item in world.cluster.list(PODS)}

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 0, result.stderr
    assert not before & {item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    assert "node-a: new and ready" in result.stderr
    assert "node-b: new and ready (2 of 2 done)" in result.stderr
    assert "node-a: ipvs (by log)" in result.stderr
    assert "node-b: ipvs (by log)" in result.stderr


def test_the_form_that_eks_has(world: World) -> None:
    """Another ConfigMap under another key, with Windows line ends: found through the mount, changed in two lines."""
    before = samples.EKS_CONFIG.replace("\n", "\r\n")
    world.create(CONFIG_MAPS, samples.config_map("kube-proxy-config", "config", before))
    world.kubelet.config_map = "kube-proxy-config"
    found = world.cluster.get(DAEMON_SETS, "kube-proxy")
    found["spec"]["template"] = samples.daemon_set("kube-proxy-config", "config")["spec"]["template"]
    world.cluster.replace(DAEMON_SETS, "kube-proxy", found)

    result = world.run("apply", "--mode", "ipvs", "--scheduler", "lc", "--yes")

    assert result.exit_code == 0, result.stderr
    after = world.cluster.get(CONFIG_MAPS, "kube-proxy-config")["data"]["config"]
    assert after == before.replace('mode: "iptables"', 'mode: "ipvs"').replace('scheduler: ""', 'scheduler: "lc"')
    assert world.text() == samples.KUBEADM_CONFIG
    assert "node-b: ipvs (by log)" in result.stderr


def test_apply_again_changes_nothing(world: World) -> None:
    """A second run finds the configuration and all pods as they should be."""
    assert world.run("apply", "--mode", "ipvs", "--yes").exit_code == 0
    version = world.cluster.get(DAEMON_SETS, "kube-proxy")["metadata"]["generation"]
    saved = world.run("rollback", "--list").stdout

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 0
    assert "nothing to do" in result.stdout
    assert world.cluster.get(DAEMON_SETS, "kube-proxy")["metadata"]["generation"] == version
    assert world.run("rollback", "--list").stdout == saved


def test_plan_and_dry_run_change_nothing(world: World) -> None:
    """They show now, then, disruption, calls and diff, and the cluster stays."""
    plan = world.run("plan", "--mode", "ipvs")
    dry = world.run("apply", "--mode", "ipvs", "--dry-run")

    assert plan.exit_code == dry.exit_code == 0
    for expected in (
        "now: mode iptables",
        "then: mode=ipvs",
        "off-hours",
        "PUT /api/v1/namespaces/kube-system/configmaps",
        '+mode: "ipvs"',
        "resourceVersion",
        "kube-proxy does not clean up between ipvs and iptables",
    ):
        assert expected in plan.stdout
    assert "dry run: nothing was changed" in dry.stderr
    assert world.text() == samples.KUBEADM_CONFIG


def test_apply_asks(world: World) -> None:
    """Without --yes the answer no changes nothing."""
    result = world.run("apply", "--mode", "ipvs", text="n\n")

    assert result.exit_code != 0
    assert world.text() == samples.KUBEADM_CONFIG


def test_rollback_brings_back_the_saved_text(world: World) -> None:
    """One command, byte for byte; a second one finds nothing to do."""
    assert world.run("apply", "--mode", "ipvs", "--scheduler", "lc", "--yes").exit_code == 0

    result = world.run("rollback", "--yes")

    assert result.exit_code == 0, result.stderr
    assert world.text() == samples.KUBEADM_CONFIG
    assert "node-a: iptables (by log)" in result.stderr
    assert "nothing to do" in world.run("rollback", "--yes").stdout


def test_rollback_refuses_to_lose_a_later_change(world: World) -> None:
    """Somebody edited after amigen: the diff is shown and nothing is written, unless told so."""
    assert world.run("apply", "--mode", "ipvs", "--yes").exit_code == 0
    world.edit("clusterCIDR: 10.244.0.0/16", "clusterCIDR: 10.0.0.0/8")

    refused = world.run("rollback", "--yes")

    assert refused.exit_code == 5
    assert "-clusterCIDR: 10.0.0.0/8" in refused.stderr
    assert "10.0.0.0/8" in world.text()
    assert world.run("rollback", "--yes", "--discard-later-changes").exit_code == 0
    assert world.text() == samples.KUBEADM_CONFIG


def test_concurrent_edit_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody edits between the reading and the writing: the server refuses ours, theirs stays, nothing is saved."""

    def edit_then_save(saved: Saved, *, aside: bool) -> Path:
        world.edit("bindAddress: 0.0.0.0", "bindAddress: 127.0.0.1")
        return save(saved, aside=aside)

    monkeypatch.setattr("amigen.kubeproxy.apply.save", edit_then_save)
    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 5
    assert "was changed concurrently" in result.stderr
    assert "nothing was changed" in result.stderr
    assert "bindAddress: 127.0.0.1" in world.text()
    assert 'mode: ""' in world.text()
    assert world.run("rollback", "--list").stdout == ""


def test_daemon_set_that_never_gets_ready(world: World) -> None:
    """It says of each node why, where the saved configuration is, and how to go back; then going back works."""
    world.kubelet.crashing = {"node-a", "node-b"}

    result = world.run("apply", "--mode", "ipvs", "--yes", "--timeout", "6")

    assert result.exit_code == 11
    assert "kube-proxy is not healthy on 2 of 2 nodes after 6 s" in result.stderr
    assert "can't use the IPVS proxier: no such scheduler" in result.stderr
    assert "saved configuration:" in result.stderr
    assert "way back: amigen kube-proxy rollback" in result.stderr
    world.kubelet.crashing = set()
    assert world.run("rollback", "--yes").exit_code == 0
    assert world.text() == samples.KUBEADM_CONFIG


def test_a_node_in_another_mode_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kube-proxy that is ready and runs in another mode than configured is not healthy."""
    monkeypatch.setattr("amigen.kubeproxy.apply._MODE_SECONDS", 3.0)
    world.kubelet.deaf = {"node-b": "iptables"}

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 11
    assert "node-b: iptables (by log)" in result.stderr


def test_a_kube_proxy_that_restarts_again_and_again(world: World) -> None:
    """Its log says the mode and its pod is ready, for a moment: that is not healthy."""
    world.kubelet.flapping = {"node-b"}

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 11
    assert "kube-proxy does not stay up on 1 of 2 nodes" in result.stderr
    assert "node-b: restarted" in result.stderr
    assert "way back: amigen kube-proxy rollback" in result.stderr


def test_by_pool_stops_at_the_first_sick_pool(world: World) -> None:
    """The pool blue is sick: green keeps its old pod. After the repair, apply goes on with what is left."""
    world.kubelet.crashing = {"node-a"}
    old = {item["spec"]["nodeName"]: item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    strategy = world.cluster.get(DAEMON_SETS, "kube-proxy")["spec"]["updateStrategy"]

    result = world.run("apply", "--mode", "ipvs", "--yes", "--by-pool", "--timeout", "6")

    assert result.exit_code == 11
    assert "pool blue: 1 nodes" in result.stderr
    assert "pool green" not in result.stderr
    assert old["node-b"] in {item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    found = world.cluster.get(DAEMON_SETS, "kube-proxy")
    assert found["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert KEPT_STRATEGY in found["metadata"]["annotations"]

    world.kubelet.crashing = set()
    for item in world.cluster.list(PODS):  # the crashed pod is repaired
        if item["spec"]["nodeName"] == "node-a":
            world.kubelet._start(item, "node-a", PODS.path(item["metadata"]["name"]))
    again = world.run("apply", "--mode", "ipvs", "--yes", "--by-pool", "--timeout", "300")

    assert again.exit_code == 0, again.stderr
    assert "node-b: ipvs" in again.stderr
    found = world.cluster.get(DAEMON_SETS, "kube-proxy")
    assert found["spec"]["updateStrategy"] == strategy
    assert KEPT_STRATEGY not in found["metadata"]["annotations"]
    time.sleep(2)
    assert old["node-b"] not in {item["metadata"]["uid"] for item in world.cluster.list(PODS)}


def test_an_unfinished_last_pool_is_gone_on_with(world: World) -> None:
    """All pods are new and the last one was sick: apply again waits for it and releases the DaemonSet."""
    strategy = world.cluster.get(DAEMON_SETS, "kube-proxy")["spec"]["updateStrategy"]
    world.kubelet.crashing = {"node-b"}
    assert world.run("apply", "--mode", "ipvs", "--yes", "--by-pool", "--timeout", "6").exit_code == 11
    world.kubelet.crashing = set()
    (pod,) = (item for item in world.cluster.list(PODS) if item["spec"]["nodeName"] == "node-b")
    assert "still held" in world.run("plan", "--mode", "ipvs").stdout
    world.kubelet._start(pod, "node-b", PODS.path(pod["metadata"]["name"]))

    result = world.run("apply", "--mode", "ipvs", "--yes", "--by-pool", "--timeout", "300")

    assert result.exit_code == 0, result.stderr
    found = world.cluster.get(DAEMON_SETS, "kube-proxy")
    assert found["spec"]["updateStrategy"] == strategy
    assert KEPT_STRATEGY not in found["metadata"]["annotations"]
    assert pod["metadata"]["uid"] in {item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    assert "nothing to do" in world.run("apply", "--mode", "ipvs", "--yes").stdout


def test_no_rights_names_verb_and_resource(world: World) -> None:
    """A user without any right, and one who may read but not write."""
    nobody = world.run("plan", "--mode", "ipvs", user="nobody")
    assert nobody.exit_code == 11
    assert "verb 'get' on resource daemonsets.apps kube-proxy" in nobody.stderr

    _grant_reading(world)
    reader = world.run("plan", "--mode", "ipvs", user="reader")
    assert reader.exit_code == 0, reader.stderr
    refused = world.run("apply", "--mode", "ipvs", "--yes", user="reader")
    assert refused.exit_code == 11
    assert "verb 'update' on resource configmaps" in refused.stderr
    assert "verb 'patch' on resource daemonsets" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert world.text() == samples.KUBEADM_CONFIG
    proof = world.run("status", "--listing", "-", user="reader", text="TCP  10.96.0.1:443 rr\n")
    assert proof.exit_code == 11
    assert "verb 'list' on resource services across all namespaces" in proof.stderr


def _grant_reading(world: World) -> None:
    rules = [
        {
            "apiGroups": ["", "apps"],
            "resources": ["configmaps", "daemonsets", "pods", "nodes"],
            "verbs": ["get", "list"],
        }
    ]
    root = "/apis/rbac.authorization.k8s.io/v1"
    world.cluster._send("POST", f"{root}/clusterroles", {"metadata": {"name": "reader"}, "rules": rules})
    binding = {
        "metadata": {"name": "reader"},
        "subjects": [{"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"},
    }
    world.cluster._send("POST", f"{root}/clusterrolebindings", binding)
    deadline = time.monotonic() + 120
    while world.run("plan", "--mode", "ipvs", user="reader").exit_code and time.monotonic() < deadline:
        time.sleep(0.5)


def test_unparseable_config_map(world: World) -> None:
    """The place in the text is named, and nothing is changed."""
    world.edit("clusterCIDR: 10.244.0.0/16", "clusterCIDR: [10.244.0.0/16")

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 14
    assert "configmap kube-system/kube-proxy, key config.conf: is not valid YAML: " in result.stderr
    assert "(line 9)" in result.stderr


def test_wrong_credentials(world: World) -> None:
    """An expired token is said to be that."""
    world.plane.users["gone"] = "no-such-token"
    try:
        result = world.run("plan", "--mode", "ipvs", user="gone")
    finally:
        del world.plane.users["gone"]

    assert result.exit_code == 11
    assert "does not accept the credentials" in result.stderr


def wait_for_the_restart(world: World) -> None:
    """Until `apply` has written all and follows the new pods: before that, an API server that is away ends it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        template = world.cluster.get(DAEMON_SETS, "kube-proxy")["spec"]["template"]["metadata"]
        if RESTARTED in (template.get("annotations") or {}):
            return
        time.sleep(0.2)
    raise AssertionError("kube-proxy was not restarted")


def test_api_server_gone_midway(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies during the rollout: a grace, then a clear error with the saved configuration and the way back."""
    monkeypatch.setattr("amigen.kubeproxy.apply.GRACE_SECONDS", 3.0)
    world.kubelet.paused.set()

    def kill() -> None:
        wait_for_the_restart(world)
        world.plane.stop("kube-apiserver")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result = world.run("apply", "--mode", "ipvs", "--yes", "--timeout", "60")
    finally:
        killer.join()
        world.plane.start_api_server()

    assert result.exit_code == 11
    assert f"the API server {world.plane.url} does not answer" in result.stderr
    assert "saved configuration:" in result.stderr
    assert "way back:" in result.stderr
    assert 'mode: "ipvs"' in world.text()


def test_api_server_back_within_the_grace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the API server does not end the rollout; a busy machine may take its time for it."""
    monkeypatch.setattr("amigen.kubeproxy.apply.GRACE_SECONDS", 200.0)
    world.kubelet.paused.set()

    def restart() -> None:
        wait_for_the_restart(world)
        world.plane.stop("kube-apiserver")
        world.plane.start_api_server()
        world.kubelet.paused.clear()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        result = world.run("apply", "--mode", "ipvs", "--yes", "--timeout", "300")
    finally:
        thread.join()

    assert result.exit_code == 0, result.stderr
    assert "does not answer" in result.stderr


def test_status_says_which_nodes_lag(world: World) -> None:
    """A configuration that was written and not followed by a restart is seen."""
    world.edit('mode: ""', 'mode: "ipvs"')

    result = world.run("status")

    assert result.exit_code == 6
    assert "problem: node-a, node-b: kube-proxy is older than the configuration" in result.stdout
    assert "node-a: iptables (by log)" in result.stdout
    plan = json.loads(world.run("plan", "--mode", "ipvs", "--output", "json").stdout)
    assert plan["changes"] is False
    assert plan["stale"] == ["node-a", "node-b"]


def own_address() -> str:
    """This machine's own address: the API server proxies to no loopback address. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def test_the_mode_is_read_through_the_api_server(world: World) -> None:
    """/proxyMode by the pod's proxy, where metricsBindAddress is open as on EKS; the answer comes from a stand-in."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"ipvs" if self.path == "/proxyMode" else b"no"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    address = own_address()
    with http.server.ThreadingHTTPServer((address, 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.kubelet.pod_ip = address
        world.edit('metricsBindAddress: ""', f'metricsBindAddress: "0.0.0.0:{server.server_address[1]}"')
        world.settle()
        result = world.run("apply", "--mode", "ipvs", "--yes")
        server.shutdown()

    assert result.exit_code == 0, result.stderr
    assert "node-a: ipvs (by proxy)" in result.stderr


def test_a_second_edit_by_the_same_hand_is_seen(world: World) -> None:
    """The API server may leave the time of the managed fields as it was: the digest that pods carry says it."""
    assert world.run("apply", "--mode", "ipvs", "--yes").exit_code == 0
    old = {item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    for before, after in (("10.244.0.0/16", "10.245.0.0/16"), ("10.245.0.0/16", "10.246.0.0/16")):
        world.settle()
        world.edit(before, after)

    result = world.run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 0, result.stderr
    assert "2 kube-proxy have not read it" in result.stdout
    assert not old & {item["metadata"]["uid"] for item in world.cluster.list(PODS)}
    assert "nothing to do" in world.run("apply", "--mode", "ipvs", "--yes").stdout
