"""Whole commands against a stand-in for a cluster (tests/kubeproxy/fake_api.py): what they say, and how they end."""

from __future__ import annotations

import json
import os
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import CouldNotCheckError
from amigen.kubeproxy import daemonset
from amigen.kubeproxy.apply import restarting_nodes
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.status import matching_node
from amigen.kubernetes.transport import UnreachableError
from tests.ipvs.test_compare import LISTING, SERVICES, SLICES
from tests.kubeproxy import samples
from tests.kubeproxy.fake_api import FakeApi, a_node, run


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("amigen.kubeproxy.apply.RESTART_SECONDS", 0.01)
    monkeypatch.setattr("amigen.kubeproxy.apply._POLL_SECONDS", 0.05)
    with FakeApi() as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig(tmp_path)))
        yield found


def printed_way_back(stderr: str) -> list[str]:
    (line,) = (line for line in stderr.splitlines() if "way back: " in line)
    words = shlex.split(line.partition("way back: ")[2])
    assert words[:2] == ["amigen", "kube-proxy"]
    return words[2:]


def test_the_printed_way_back_goes_back(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as it is printed, in another folder and without the environment of before."""
    given = os.environ.pop("KUBECONFIG")
    monkeypatch.chdir(Path(given).parent)
    api.stuck = {"b"}
    failed = run("apply", "--mode", "ipvs", "--yes", "--timeout", "1", "--kubeconfig", Path(given).name)
    assert failed.exit_code == 11, failed.stderr
    assert read_config(api.text, "x").mode == "ipvs"
    api.stuck = set()
    monkeypatch.chdir("/")

    back = run(*printed_way_back(failed.stderr), "--yes")

    assert back.exit_code == 0, back.stderr
    assert api.text == samples.EKS_CONFIG


def test_the_way_back_of_what_was_done_despite_the_addon(api: FakeApi) -> None:
    """The add-on still manages it: going back needs the same insistence."""
    api.config_map["metadata"]["managedFields"] = [{"manager": "eks", "time": "2026-01-01T00:00:00Z"}]
    api.stuck = {"b"}
    options = ("--by", "configmap", "--despite-addon", "--region", "eu-central-1", "--by-pool", "--pool", "(no pool)")
    failed = run("apply", "--mode", "ipvs", *options, "--yes", "--timeout", "1")
    assert failed.exit_code == 11, failed.stderr
    words = printed_way_back(failed.stderr)
    api.stuck = set()
    assert {"--region=eu-central-1", "--pool=(no pool)", "--by-pool", "--despite-addon"} <= set(words)

    back = run(*words, "--yes")

    assert back.exit_code == 0, back.stderr
    assert api.text == samples.EKS_CONFIG


def test_pods_of_a_deleted_daemonset_are_not_counted(api: FakeApi) -> None:
    """They carry the same labels and live on for a while, in the mode of before."""
    orphan = api._pod("c")
    orphan["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "uid": "the one before"}]
    api.lists["pods"].append(orphan)

    found = json.loads(run("status", "--output", "json").stdout)

    assert [one["node"] for one in found["modes"]] == [one["node"] for one in found["pods"]] == ["a", "b"]


def test_a_daemonset_that_is_made_anew_while_it_is_changed(api: FakeApi) -> None:
    """As an add-on may do in its update: its new pods are the ones that count."""

    def recreate(method: str, kind: str) -> None:
        if (method, kind) == ("PUT", "configmaps"):
            api.daemon_set["metadata"]["uid"] = "another"

    api.before = recreate

    result = run("apply", "--mode", "ipvs", "--yes", "--timeout", "5")

    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", [("apply", "--mode", "ipvs"), ("rollback",)])
def test_json_asks_for_nothing(api: FakeApi, command: tuple[str, ...]) -> None:
    """The document is printed at the end, so a question before it would be about a plan that nobody has seen."""
    if command == ("rollback",):
        assert run("apply", "--mode", "ipvs", "--yes").exit_code == 0
    before = api.text

    result = run(*command, "--output", "json")

    assert result.exit_code == 13, result.stderr
    assert json.loads(result.stdout)["changes"] is True
    assert "use --yes, or --dry-run" in result.stderr
    assert api.text == before


PLUGIN = "client.authentication.k8s.io/v1"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["/no/such/aws", "eks", "get-token"], "No such file or directory"),
        (
            ["sh", "-c", "echo 'The SSO session has expired' >&2; exit 255", "secret-argument"],
            "SSO session has expired",
        ),
        (["echo", "{}"], "is not an ExecCredential of client.authentication.k8s.io/v1"),
        (["echo", "no json"], "its output is not JSON"),
    ],
)
def test_an_exec_plugin_that_fails(api: FakeApi, tmp_path: Path, command: list[str], says: str) -> None:
    """One error that names command and reason; the cluster is not asked without credentials."""
    plugin = {"apiVersion": PLUGIN, "command": command[0], "args": command[1:], "interactiveMode": "Never"}
    file = api.kubeconfig(tmp_path, exec=plugin)

    result = run("plan", "--mode", "ipvs", "--kubeconfig", str(file))

    assert result.exit_code == 14
    assert f"`{command[0]}`" in result.stderr
    assert says in result.stderr
    assert "ERROR:root" not in result.stderr
    assert "secret-argument" not in result.stderr
    assert api.calls == []


def test_an_exec_plugin_that_works(api: FakeApi, tmp_path: Path) -> None:
    """Its token is used."""
    credential = {"apiVersion": PLUGIN, "kind": "ExecCredential", "status": {"token": "fresh"}}
    plugin = {"apiVersion": PLUGIN, "command": "echo", "args": [json.dumps(credential)]}

    assert run("status", "--kubeconfig", str(api.kubeconfig(tmp_path, exec=plugin))).exit_code == 0
    assert ("Authorization", "Bearer fresh") in {(key.title(), value) for key, value in api.headers}


def test_impersonation_is_sent(api: FakeApi, tmp_path: Path) -> None:
    """As kubectl does, with each group."""
    user: dict[str, Any] = {"token": "t", "as": "ann", "as-uid": "7", "as-groups": ["dev", "ops"]}
    user["as-user-extra"] = {"example.org/Why": ["a b"]}

    assert run("status", "--kubeconfig", str(api.kubeconfig(tmp_path, **user))).exit_code == 0

    sent = [(key.title(), value) for key, value in api.headers if key.title().startswith("Impersonate")]
    assert sent == [
        ("Impersonate-User", "ann"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Extra-Example.Org%2Fwhy", "a b"),
    ]


@pytest.mark.parametrize(
    "user", [{"as-groups": ["dev"]}, {"as": ["a"]}, {"as": "a\r\nX: y"}, {"as": "a", "as-groups": "b"}]
)
def test_wrong_impersonation_is_refused(api: FakeApi, tmp_path: Path, user: dict[str, Any]) -> None:
    """Never ignored: the rights would be others than those that were meant."""
    result = run("status", "--kubeconfig", str(api.kubeconfig(tmp_path, token="t", **user)))

    assert result.exit_code == 14
    assert api.calls == []


FORBIDDEN = 'is forbidden: User "reader" cannot list resource "x" in API group "y" at the cluster scope'


@pytest.mark.parametrize(
    ("kind", "resource"), [("services", "services"), ("endpointslices", "endpointslices.discovery.k8s.io")]
)
def test_no_rights_in_all_namespaces(api: FakeApi, tmp_path: Path, kind: str, resource: str) -> None:
    """The proof on a node lists across all namespaces, and the message says so."""
    listing = tmp_path / "listing"
    listing.write_text(LISTING)
    api.refused["GET", kind] = (403, FORBIDDEN)

    result = run("status", "--listing", str(listing))

    assert result.exit_code == 11
    assert f"not allowed: verb 'list' on resource {resource} across all namespaces" in result.stderr
    assert f"kubectl auth can-i list {resource} --all-namespaces" in result.stderr
    assert "kube-system" not in result.stderr


@pytest.mark.parametrize(
    "said",
    [
        'admission webhook "policy.example" denied the request: frozen',
        "ValidatingAdmissionPolicy 'x' denied request: no",
    ],
)
def test_an_admission_webhook_is_no_missing_right(api: FakeApi, said: str) -> None:
    """No role helps; nothing was changed, and nothing is left saved."""
    api.refused["PUT", "configmaps"] = (403, said)

    result = run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 11
    assert said in result.stderr
    assert "a role cannot allow it" in result.stderr
    assert "way back" not in result.stderr
    assert run("rollback", "--list").stdout == ""


def test_status_counts_what_is_not_ready_missing_or_old(api: FakeApi) -> None:
    """Exit code 6 for each."""
    assert run("status").exit_code == 0

    api.lists["pods"][0]["status"]["conditions"][0]["status"] = "False"
    not_ready = run("status")
    api.lists["pods"][0]["status"]["conditions"][0]["status"] = "True"
    api.daemon_set["status"] = {"desiredNumberScheduled": 3}
    missing = run("status", "--output", "json")
    del api.daemon_set["status"]
    api.config_map["metadata"]["managedFields"] = [{"manager": "kubectl-edit", "time": "2026-06-01T00:00:00Z"}]
    old = run("status")

    assert (not_ready.exit_code, missing.exit_code, old.exit_code) == (6, 6, 6)
    assert "a: kube-proxy is not ready" in not_ready.stderr
    assert json.loads(missing.stdout)["missing"] == 1
    assert "a, b: kube-proxy is older than the configuration" in old.stderr


def test_a_listing_of_a_cluster_without_a_config_map(api: FakeApi) -> None:
    """Flags, k3s, RKE2, kOps, Talos: the scheduler is given."""
    api.refused["GET", "daemonsets"] = (404, "not found")
    api.lists["services"], api.lists["endpointslices"] = SERVICES, SLICES

    without = run("status", "--listing", "-", text=LISTING.encode())
    given = run("status", "--listing", "-", "--scheduler", "sed", text=LISTING.encode())
    other = run("status", "--listing", "-", "--scheduler", "rr", text=LISTING.encode())
    alone = run("status", "--scheduler", "rr")

    assert without.exit_code == 11
    assert given.exit_code == 0, given.stdout + given.stderr
    assert "has the scheduler sed; the configuration says rr" in other.stdout
    assert alone.exit_code == 14


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        (("--listing", "-"), b"\xff\xfe\x00", "not UTF-8"),
        (("--listing", "-"), b"nonsense\n", "expected TCP, UDP"),
        (("--listing", "-"), b"TCP  10.0.0.1:80 rr\n" * 3_600_000, "has more than 67108864 bytes"),
        (("--listing", "/no/such"), b"", "/no/such"),
        (("--wait", "5"), b"", "--wait watches nodes"),
        (("--wait", "5", "--listing", "-"), LISTING.encode(), "--wait watches nodes"),
        (("--node", "foo"), b"", "foo: no such target"),
        (("--node", "ssh://u:p@h"), b"", "passwords are not supported"),
    ],
)
def test_wrong_input_is_said_before_the_cluster_is_asked(
    api: FakeApi, arguments: tuple[str, ...], text: bytes, says: str
) -> None:
    """One error of its kind."""
    result = run("status", *arguments, text=text)

    assert result.exit_code == 14
    assert says in result.stderr
    assert api.calls == []


class Watched:
    """Nodes that answer one look after the other; an exception is a node that does not."""

    def __init__(self, **answers: list[NodeFacts | Exception]) -> None:
        self.answers = answers

    def look(self, node: Any, metrics: str) -> NodeFacts:
        del metrics
        left = self.answers[node.target.name]
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found


GOOD, LEFT_OVER = NodeFacts(host="x", mode="iptables"), NodeFacts(host="x", mode="iptables", bound=frozenset())
GONE = CouldNotCheckError("ssh cannot reach it")


def watch(monkeypatch: pytest.MonkeyPatch, seconds: float, **answers: list[NodeFacts | Exception]) -> Any:
    """`status --wait` on these nodes, with a clock that moves only when somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr("amigen.kubeproxy.node_facts.gather", Watched(**answers).look)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    targets = [f"--node=ssh://{name}" for name in answers]
    return run("status", *targets, "--wait", f"{seconds}s", "--output", "json")


def test_several_nodes_are_watched_each_for_itself(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same difference on two nodes is two, each with its own time."""
    result = watch(monkeypatch, 10, a=[GOOD, LEFT_OVER], b=[LEFT_OVER])

    assert result.exit_code == 6
    found = {one["subject"]: one["differences"][0]["lastedSeconds"] for one in json.loads(result.stdout)}
    assert found == {"ssh://a": 5.0, "ssh://b": 10.0}
    assert "2 differences" in result.stderr
    assert "differs: ssh://b: kube-ipvs0 is still there" in result.stderr


def test_a_watch_goes_on_through_an_outage_of_a_node(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not seen is said, and is neither well nor settled; time goes on for what is still there afterwards."""
    result = watch(monkeypatch, 30, a=[LEFT_OVER, GONE, LEFT_OVER, GOOD], b=[GOOD])

    assert result.exit_code == 0, result.stderr
    said = [line.split("] ")[1] for line in result.stderr.splitlines()]
    assert said == [
        "differs: ssh://a: kube-ipvs0 is still there with 0 addresses",
        "not seen: ssh://a: ssh cannot reach it",
        "seen again: ssh://a",
        "settled: ssh://a: kube-ipvs0 is still there with 0 addresses",
    ]


def test_a_watch_goes_on_through_an_outage_of_the_api_server(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the cluster's side."""

    def outage(method: str, kind: str) -> None:
        if kind == "services" and not seen:
            seen.append(kind)
            api.down = 1

    seen: list[str] = []
    api.before = outage
    result = watch(monkeypatch, 30, a=[LEFT_OVER, LEFT_OVER, GOOD])

    assert result.exit_code == 0, result.stderr
    assert "not seen: the API server" in result.stderr
    assert "seen again" in result.stderr


@pytest.mark.parametrize(("wait", "others", "code"), [(0, GOOD, 7), (10, GOOD, 7), (10, LEFT_OVER, 6)])
def test_a_node_that_is_never_seen(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, wait: float, others: NodeFacts, code: int
) -> None:
    """The others are shown all the same."""
    result = watch(monkeypatch, wait, a=[GONE], b=[others])

    assert result.exit_code == code
    assert [one["unseen"] for one in json.loads(result.stdout)] == ["ssh cannot reach it", None]


@pytest.mark.parametrize(
    ("host", "target", "name"),
    [("", "192.0.2.1", "n1"), ("", "192.0.2.12", "n2"), ("n2", "192.0.2.1", "n2"), ("n2.example", "192.0.2.1", "n2"),
     ("", "2001:0db8::1", "n3"), ("other", "198.51.100.7", None), ("", "", None)],
)  # fmt: skip
def test_a_machine_is_the_node_of_its_name_else_of_its_whole_address(host: str, target: str, name: str | None) -> None:
    """An address that is a part of another one is another one."""
    nodes = daemonset.nodes([a_node("n1", "192.0.2.1"), a_node("n2", "192.0.2.12"), a_node("n3", "2001:db8::1")])

    found = matching_node(NodeFacts(host=host), target, nodes)

    assert (found.name if found else None) == name


def test_a_kube_proxy_that_does_not_stay_up(api: FakeApi) -> None:
    """Ready, and its log says ipvs; it restarts each time one looks."""
    api.restarts = {"b": list(range(1000))}

    result = run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 11
    assert "kube-proxy does not stay up on 1 of 2 nodes" in result.stderr
    assert "b: restarted" in result.stderr


def test_an_api_server_that_is_away_says_nothing_of_kube_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look is lost; only where the last one is, nothing is known."""
    (pod,) = daemonset.pods([{"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "a"}}])
    ready, away = (replace(pod, ready=True),), UnreachableError("away")
    monkeypatch.setattr("time.sleep", lambda _: None)

    def looks(*answers: Any) -> Any:
        left = list(answers)

        def pods() -> tuple[daemonset.Pod, ...]:
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return tuple(found)

        return pods

    assert restarting_nodes(looks(ready, away, ready), ["a"]) == {}
    with pytest.raises(UnreachableError):
        restarting_nodes(looks(ready, away, away, away), ["a"])


def test_one_restart_is_forgiven(api: FakeApi) -> None:
    """It stays up from then on."""
    api.restarts = {"b": [0, 0, 0, 0, 1, 1, 1]}

    assert run("apply", "--mode", "ipvs", "--yes").exit_code == 0


def test_nodes_that_are_known_not_to_be_ready_are_refused(api: FakeApi) -> None:
    """Nothing is asked of the user and nothing is changed; the plan alone is shown."""
    api.lists["nodes"][1]["metadata"]["labels"]["amigen/ipvs"] = "no"

    result = run("apply", "--mode", "ipvs", "--yes")

    assert result.exit_code == 13
    assert "1 nodes are not ready for ipvs: b" in result.stderr
    assert api.text == samples.EKS_CONFIG
    assert run("apply", "--mode", "ipvs", "--yes", "--dry-run").exit_code == 0
    api.lists["nodes"][0]["metadata"]["labels"]["karpenter.sh/nodepool"] = "good"
    assert run("apply", "--mode", "ipvs", "--yes", "--pool", "good").exit_code == 0


def test_pools_go_in_the_order_of_the_options(api: FakeApi) -> None:
    """And no other pool."""
    for item, pool in zip(api.lists["nodes"], ("blue", "green"), strict=True):
        item["metadata"]["labels"]["karpenter.sh/nodepool"] = pool

    plan = run("plan", "--mode", "ipvs", "--pool", "green", "--pool", "blue", "--output", "json")

    assert [pool["name"] for pool in json.loads(plan.stdout)["pools"]] == ["green", "blue"]
    one = json.loads(run("plan", "--mode", "ipvs", "--pool", "green", "--output", "json").stdout)
    assert [(pool["name"], pool["nodes"]) for pool in one["pools"]] == [("green", ["b"])]


def test_one_machine_does_not_speak_for_all_nodes(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """--look without a place for the node's own name; several looks go side by side."""
    asked: list[str] = []
    together = threading.Barrier(2, timeout=300)

    def look(node: Any, metrics: str) -> NodeFacts:
        del metrics
        asked.append(node.target.name)
        together.wait()  # neither is answered before both are asked
        return NodeFacts(host=node.target.name, mode="iptables")

    monkeypatch.setattr("amigen.kubeproxy.node_facts.gather", look)
    refused = run("plan", "--mode", "iptables", "--look", "ssh://ec2-user@192.0.2.1")
    assert refused.exit_code == 14
    assert "one machine cannot stand for 2 nodes" in refused.stderr
    assert asked == []

    assert run("plan", "--mode", "iptables", "--look", "ssh://ec2-user@{address}").exit_code == 0
    assert sorted(asked) == ["192.0.2.1", "192.0.2.2"]


def test_migrate_where_there_is_nothing_to_migrate(api: FakeApi) -> None:
    """Already nftables; nothing is planned for it."""
    api.write(samples.EKS_CONFIG.replace('"iptables"', '"nftables"'))

    result = run("migrate")

    assert result.exit_code == 0
    assert result.stdout.startswith("already nftables: nothing to migrate")
    assert "steps:" not in result.stdout


def test_migrate_with_nodes_that_amigen_makes_no_image_of(api: FakeApi) -> None:
    """Named, and not taken for another system in silence."""
    api.lists["nodes"][1]["status"]["nodeInfo"]["osImage"] = "Bottlerocket OS 1.30 (aws-k8s-1.33)"

    result, document = run("migrate"), run("migrate", "--output", "json")

    assert "amigen makes no images of Bottlerocket OS 1.30 (aws-k8s-1.33)" in result.stdout
    assert json.loads(document.stdout)["strangers"] == ["Bottlerocket OS 1.30 (aws-k8s-1.33)"]


@pytest.mark.parametrize(
    ("mode", "arguments", "code", "says"),
    [
        ("userspace", (), 14, "mode 'userspace' is not a mode of kube-proxy on Linux"),
        ("ipvs", ("--name", "a b"), 14, "--name 'a b' is not a name"),
        ("ipvs", ("--name", ""), 14, "--name '' is not a name"),
        ("ipvs", ("--write-spec", "/no/such/folder/spec.yaml"), 14, "there is no folder /no/such/folder"),
        ("ipvs", ("--write-spec", ""), 14, ". already exists"),
        ("ipvs", ("--config", ""), 14, "--config needs --kubernetes-version"),
    ],
)
def test_wrong_migrations(api: FakeApi, mode: str, arguments: tuple[str, ...], code: int, says: str) -> None:
    """Nothing is written."""
    api.write(samples.EKS_CONFIG.replace('"iptables"', f'"{mode}"'))

    result = run("migrate", *arguments)

    assert result.exit_code == code
    assert says in result.stderr


def test_no_spec_is_written_that_is_none(api: FakeApi, tmp_path: Path) -> None:
    """A version of kube-proxy that has no nftables yet."""
    api.version = "v1.28.3"

    result = run("migrate", "--write-spec", str(tmp_path / "spec.yaml"))

    assert result.exit_code == 3
    assert not (tmp_path / "spec.yaml").exists()
