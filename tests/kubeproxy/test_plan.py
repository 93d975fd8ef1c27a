"""Plans, versions, settings, readiness and migration: all decided without a cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from amigen.base.errors import ConflictError, InputError, KubernetesError, RefusedError
from amigen.facts import Facts
from amigen.kubeproxy import daemonset, health, show
from amigen.kubeproxy.addon import AddonState
from amigen.kubeproxy.change import ChangeRequest
from amigen.kubeproxy.config import read_config
from amigen.kubeproxy.daemonset import ConfigSource, Node
from amigen.kubeproxy.detect import Managed, eks_name
from amigen.kubeproxy.migrate import Migration, plan_migration
from amigen.kubeproxy.node_facts import NodeFacts, NodeMode
from amigen.kubeproxy.observe import KubeProxy, Observed
from amigen.kubeproxy.plan import make_plan, plan_rollback
from amigen.kubeproxy.readiness import readiness
from amigen.kubeproxy.saved import Saved, load, newest, save
from amigen.kubeproxy.settings import Settings, read_field
from amigen.kubeproxy.versions import minor_version, why_not
from tests.kubeproxy import samples
from tests.real.eks_server import SCHEMA


def a_node(name: str, kernel: str = "6.1.0", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {key.replace("_", "/"): value for key, value in labels.items()}},
        "status": {
            "nodeInfo": {"kernelVersion": kernel, "osImage": "Amazon Linux 2023.6.20250218"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        },
    }


def a_pod(node: str, created: str = "2026-05-01T00:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {"name": f"kube-proxy-{node}", "uid": node, "creationTimestamp": created},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def observed(
    *, version: str = "1.33", text: str = samples.EKS_CONFIG, addon: AddonState | None = None, **more: Any
) -> Observed:
    nodes = more.pop("nodes", [a_node("a"), a_node("b")])
    config_map = samples.config_map("kube-proxy-config", "config", text)
    config_map["metadata"]["resourceVersion"] = "77"
    cluster: Any = SimpleNamespace(name="prod", context="prod", server="https://x.eks.amazonaws.com")
    eks: Any = SimpleNamespace(cluster="prod", schema=lambda _: SCHEMA)
    return Observed(
        cluster=cluster,
        version=version,
        proxy_version=version,
        daemon_set=samples.daemon_set(),
        config_map=config_map,
        source=ConfigSource(name="kube-proxy-config", key="config"),
        config=read_config(text, "configmap kube-system/kube-proxy-config, key config"),
        managed=Managed(
            way="addon" if addon else "configmap", evidence="seen", addon=addon, eks=eks if addon else None
        ),
        pods=daemonset.pods(more.pop("pods", [a_pod(one["metadata"]["name"]) for one in nodes])),
        nodes=daemonset.nodes(nodes),
        **more,
    )


ADDON = AddonState(version="v1.33.3-eksbuild.4", values='{"podLabels": {"team": "net"}}', status="ACTIVE")


def test_a_configuration_that_kube_proxy_would_not_start_with() -> None:
    """Somebody edited it, and nothing restarted kube-proxy since; through the add-on EKS writes all of it anew."""
    text = f"{samples.EKS_CONFIG}\nconfigSyncPeriod: 5\n".replace("configSyncPeriod: 15m0s\n", "")
    with pytest.raises(InputError, match="configSyncPeriod must be a duration"):
        make_plan(observed(text=text), Settings(mode="ipvs"), ChangeRequest())

    assert make_plan(observed(text=text, addon=ADDON), Settings(mode="ipvs"), ChangeRequest()).way.name == "addon"


def test_the_plan_through_the_addon_keeps_its_other_settings() -> None:
    """Merged values, the exact call, the diff, and what the way of conflicts means."""
    plan = make_plan(observed(addon=ADDON), Settings(mode="ipvs"), ChangeRequest())

    text = show.plan_text(plan)
    assert plan.after == '{"mode": "ipvs", "podLabels": {"team": "net"}}'
    assert "aws eks update-addon --cluster-name prod --addon-name kube-proxy" in text
    assert "--resolve-conflicts OVERWRITE: what was edited by hand" in text
    assert '+  "mode": "ipvs",' in text


def test_what_the_addon_cannot_express_shows_the_other_way() -> None:
    """strictARP needs the ConfigMap, and that needs the add-on gone."""
    settings = Settings(mode="ipvs", fields={"ipvs.strictARP": True})

    with pytest.raises(RefusedError) as caught:
        make_plan(observed(addon=ADDON), settings, ChangeRequest())

    assert "strictARP" in caught.value.message
    assert "delete-addon" in caught.value.hint
    assert "apply --by configmap --mode ipvs --set ipvs.strictARP=true" in caught.value.hint


def test_every_output_is_json() -> None:
    """Plan, migration and state, for a program."""
    plan = show.plan_json(make_plan(observed(), Settings(mode="ipvs"), ChangeRequest()))
    migrated = show.migration_json(migration(samples.EKS_CONFIG, "1.33", observed().nodes))
    state = show.cluster_json(observed(), (NodeMode(node="a", mode="ipvs", by="log"),))

    assert json.loads(msgspec.json.encode(plan))["modes"][0]["mode"] == "ipvs"
    assert json.loads(msgspec.json.encode(migrated))["state"]["state"] == "stable"
    assert json.loads(msgspec.json.encode(state))["modes"] == [{"node": "a", "mode": "ipvs", "by": "log"}]


def test_a_failed_addon_update_is_sent_again() -> None:
    """Configured so, and yet the last update failed."""
    failed = replace(ADDON, values='{"mode": "ipvs"}', status="UPDATE_FAILED")
    plan = make_plan(observed(addon=failed), Settings(mode="ipvs"), ChangeRequest())

    assert plan.changes
    assert any("UpdateAddon" in call for call in plan.calls)
    fine = observed(addon=replace(failed, status="ACTIVE"), text=samples.EKS_CONFIG.replace('"iptables"', '"ipvs"'))
    assert make_plan(fine, Settings(mode="ipvs"), ChangeRequest()).nothing_to_do


def test_pools_do_not_go_with_the_addon() -> None:
    """EKS restarts as it likes."""
    with pytest.raises(InputError, match="--by-pool does not go with the add-on"):
        make_plan(observed(addon=ADDON), Settings(mode="ipvs"), ChangeRequest(by_pool=True))


def test_pools_by_label_in_order() -> None:
    """By EKS's label, in the order that was asked for; an unknown pool is an error that lists the known."""
    nodes = [a_node("a", **{"eks.amazonaws.com_nodegroup": "old"}), a_node("b")]
    found = observed(nodes=nodes)

    plan = make_plan(found, Settings(mode="ipvs"), ChangeRequest(by_pool=True, pools=("old", daemonset.NO_POOL)))

    assert [(pool.name, pool.nodes) for pool in plan.pools] == [("old", ("a",)), ("(no pool)", ("b",))]
    assert any("OnDelete" in call for call in plan.calls)
    with pytest.raises(InputError, match="no node pool blue"):
        make_plan(found, Settings(mode="ipvs"), ChangeRequest(by_pool=True, pools=("blue",)))


@pytest.mark.parametrize(
    ("mode", "version", "gates", "says"),
    [
        ("nftables", "1.28", {}, "does not exist before 1.29"),
        ("nftables", "1.29", {}, "NFTablesProxyMode is not set"),
        ("nftables", "1.30", {"NFTablesProxyMode": True}, None),
        ("nftables", "1.31", {}, None),
        ("nftables", "1.32", {"NFTablesProxyMode": False}, "turns the feature gate"),
        ("nftables", "1.33", {}, None),
        ("ipvs", "1.20", {}, None),
        ("ipvs", "1.35", {}, None),
        ("ipvs", "1.37", {"KubeProxyIPVS": False}, "turns the feature gate KubeProxyIPVS off"),
        ("ipvs", "1.40", {}, "KubeProxyIPVS is not set"),
        ("ipvs", "1.40", {"KubeProxyIPVS": True}, None),
        ("ipvs", "1.43", {"KubeProxyIPVS": True}, "planned to be removed in 1.43"),
        ("iptables", "1.43", {}, None),
    ],
)
def test_versions(mode: Any, version: str, gates: dict[str, bool], says: str | None) -> None:
    """What cannot work is refused with its source."""
    refused = why_not(mode, version, gates)

    assert (refused is None) == (says is None)
    if refused is not None and says is not None:
        assert says in refused.message
        assert "https://github.com/kubernetes/enhancements" in refused.message


def test_a_gate_set_in_the_same_change_counts() -> None:
    """nftables alpha, on purpose."""
    settings = Settings(mode="nftables", fields={"featureGates.NFTablesProxyMode": True})
    plan = make_plan(observed(version="1.29"), settings, ChangeRequest())

    assert "+  NFTablesProxyMode: true" in plan.diff or "NFTablesProxyMode" in plan.diff


def test_deprecation_is_said_with_its_source() -> None:
    """ipvs from 1.35 on."""
    plan = make_plan(observed(version="1.35"), Settings(mode="ipvs"), ChangeRequest())

    assert any("deprecated since 1.35" in warning and "KEP-5495" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("ipvs.scheduler=fo", "not a scheduler"),
        ("ipvs.scheduler=wrrr", "did you mean wrr"),
        ("ipvs.schedular=rr", "did you mean ipvs.scheduler"),
        ("ipvs.tcpTimeout=-1s", "must not be negative"),
        ("ipvs.tcpTimeout=15", "a duration"),
        ("ipvs.syncPeriod=0s", "greater than 0"),
        ("ipvs.strictARP=yes", "true or false"),
        ("ipvs.excludeCIDRs=10.0.0.0/99", "must be a list of CIDRs"),
        ("ipvs.excludeCIDRs=10.0.0.0/8,10.0.0.1", "a list of CIDRs such as 192.0.2.0/24, and has '10.0.0.1'"),
        ("nftables.masqueradeBit=32", "0 to 31"),
        ("nodePortAddresses=all,10.0.0.0/8,all", "or primary, localhost, all, each once"),
        ("ipvs.excludeCIDRs=primary", "must be a list of CIDRs"),
        ("ipvs.strictARP", "not PATH=VALUE"),
        ("mode=ipvs", "does not know this field"),
    ],
)
def test_wrong_fields(assignment: str, says: str) -> None:
    """As kube-proxy's own validation, before anything is changed."""
    with pytest.raises(InputError) as caught:
        read_field(assignment)

    assert says in str(caught.value)


@pytest.mark.parametrize("text", [samples.EKS_CONFIG, samples.KUBEADM_CONFIG])
@pytest.mark.parametrize(
    ("mode", "fields"),
    [("ipvs", {"ipvs.minSyncPeriod": "1m"}), ("iptables", {"iptables.minSyncPeriod": "31s"}),
     ("iptables", {"iptables.syncPeriod": "500ms"}), ("nftables", {"nftables.minSyncPeriod": "1m"})],
)  # fmt: skip
def test_periods_that_contradict(text: str, mode: Any, fields: dict[str, Any]) -> None:
    """kube-proxy puts its defaults where nothing or 0s stands, and then validates."""
    with pytest.raises(InputError, match="longer than"):
        make_plan(observed(text=text), Settings(mode=mode, fields=fields), ChangeRequest())
    make_plan(observed(text=text), Settings(mode="ipvs", fields={"ipvs.minSyncPeriod": "30s"}), ChangeRequest())


def test_fields_that_contradict() -> None:
    """Fields of another mode."""
    with pytest.raises(InputError, match="no effect in nftables mode"):
        make_plan(observed(), Settings(mode="nftables", fields={"ipvs.scheduler": "rr"}), ChangeRequest())


def test_fields_of_every_mode() -> None:
    """Node ports, conntrack, and the masquerading that ipvs mode shares with iptables."""
    assert read_field("nodePortAddresses=primary") == ("nodePortAddresses", ["primary"])
    fields = dict(map(read_field, ("nodePortAddresses=0.0.0.0/0,::/0", "conntrack.udpTimeout=30s")))
    plan = make_plan(
        observed(), Settings(mode="ipvs", fields=fields | {"iptables.masqueradeAll": True}), ChangeRequest()
    )

    assert '+nodePortAddresses: ["0.0.0.0/0", "::/0"]' in plan.diff
    assert "+  masqueradeAll: true" in plan.diff


def test_versions_are_read_from_tags() -> None:
    """The tags of EKS and of upstream; a digest says nothing."""
    for tag, expected in (("v1.33.3-minimal-eksbuild.4", "1.33"), ("v1.20.2", "1.20"), ("1.35", "1.35")):
        assert minor_version(tag, "x") == expected
    with pytest.raises(InputError):
        minor_version("latest", "x")
    image = "602401143452.dkr.ecr.us-east-1.amazonaws.com:443/eks/kube-proxy:v1.33.3-eksbuild.4@sha256:abc"
    assert daemonset.proxy_version(samples.daemon_set(image=image)) == "v1.33.3-eksbuild.4"
    for image in ("kube-proxy@sha256:abc", "registry:5000/kube-proxy:1.0-custom", "kube-proxy:1.0", "kube-proxy:1.345"):
        assert daemonset.proxy_version(samples.daemon_set(image=image)) == ""
    assert daemonset.proxy_version(samples.daemon_set(image="registry:5000/kube-proxy:1.35")) == "1.35"


def _mounted(path: str, mounts: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = samples.daemon_set()
    pod = found["spec"]["template"]["spec"]
    container = {"name": "kube-proxy", "args": [f"--config={path}"], "volumeMounts": mounts}
    sidecar = {"name": "a-sidecar", "args": ["--config=/etc/other/x.yaml"], "volumeMounts": mounts}
    pod |= {"containers": [sidecar, container], "volumes": volumes}
    return [(one.name, one.key) for one in daemonset.config_sources(found)]


@pytest.mark.parametrize(
    ("path", "mount", "volume", "expected"),
    [
        ("/k/config", {"mountPath": "/k/"}, {"configMap": {"name": "a"}}, [("a", "config")]),
        (
            "/k/c.yaml",
            {"mountPath": "/k"},
            {"configMap": {"name": "a", "items": [{"key": "x", "path": "c.yaml"}]}},
            [("a", "x")],
        ),
        ("/etc/c.yaml", {"mountPath": "/etc/c.yaml", "subPath": "x"}, {"configMap": {"name": "a"}}, [("a", "x")]),
        (
            "/etc/d/c",
            {"mountPath": "/etc/d", "subPath": "s"},
            {"configMap": {"name": "a", "items": [{"key": "x", "path": "s/c"}]}},
            [("a", "x")],
        ),
        (
            "/k/c",
            {"mountPath": "/k"},
            {
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "t"}},
                        {"configMap": {"name": "a", "items": [{"key": "x", "path": "c"}]}},
                    ]
                }
            },
            [("a", "x")],
        ),
        (
            "/k/c",
            {"mountPath": "/k"},
            {"projected": {"sources": [{"configMap": {"name": "a"}}, {"configMap": {"name": "b"}}]}},
            [("b", "c"), ("a", "c")],
        ),
    ],
)
def test_the_config_map_is_found_through_the_mount(
    path: str, mount: dict[str, Any], volume: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Whatever it is called: whole, by items, by subPath, out of a projected volume."""
    other = {"name": "other", "configMap": {"name": "other"}}

    assert _mounted(path, [mount | {"name": "v"}], [volume | {"name": "v"}, other]) == expected


def test_of_nested_mounts_the_innermost_counts() -> None:
    """As the kernel mounts them."""
    mounts = [{"name": "out", "mountPath": "/k"}, {"name": "in", "mountPath": "/k/c.yaml", "subPath": "c"}]
    volumes = [{"name": name, "configMap": {"name": name}} for name in ("out", "in")]

    assert _mounted("/k/c.yaml", mounts, volumes) == [("in", "c")]
    with pytest.raises(KubernetesError, match="does not read its configuration from a ConfigMap"):
        _mounted("/k/c.yaml", mounts, [volumes[0], {"name": "in", "emptyDir": {}}])


@pytest.mark.parametrize(
    ("name", "cluster", "region"),
    [
        ("arn:aws:eks:eu-central-1:123456789012:cluster/prod", "prod", "eu-central-1"),
        ("arn:aws-cn:eks:cn-north-1:123456789012:cluster/a_b", "a_b", "cn-north-1"),
        ("me@prod.us-east-1.eksctl.io", "prod", "us-east-1"),
        ("prod.us-east-1.eksctl.io", "prod", "us-east-1"),
    ],
)
def test_eks_names(name: str, cluster: str, region: str) -> None:
    """As the AWS CLI and eksctl write them."""
    assert eks_name("other", name) == (cluster, region)
    assert eks_name("kind-kind", "minikube") == ("", "")


def report(outcome: str) -> dict[str, str]:
    """What a report of `amigen verify` says of the modules of ipvs with rr."""
    ids = ("test_module_loaded[ip_vs]", "test_module_loaded[nf_conntrack]")
    return dict.fromkeys(ids, "passed") | {"test_module_loaded[ip_vs_rr]": outcome}


IPVS_MODULES = ("ip_vs", "ip_vs_rr", "nf_conntrack")


def gathered(*loaded: str, kernel: str = "6.1.0") -> NodeFacts:
    """A node with these modules loaded."""
    return NodeFacts(of_node=Facts(kernel=kernel, loaded=frozenset(loaded)))


@pytest.mark.parametrize(
    ("mode", "facts", "labels", "kernel", "verified", "expected"),
    [
        ("ipvs", gathered(*IPVS_MODULES), {}, "6.1", None, ("ready", "looked")),
        ("ipvs", gathered("ip_vs"), {"amigen_ipvs": "ready"}, "6.1", None, ("not ready", "looked")),
        ("ipvs", None, {}, "6.1", None, ("not known", "")),
        ("ipvs", "no answer", {}, "6.1", None, ("not known", "")),
        ("ipvs", None, {"amigen_ipvs": "ready"}, "6.1", None, ("ready", "label")),
        ("ipvs", None, {"amigen_ipvs": "no"}, "6.1", None, ("not ready", "label")),
        ("ipvs", None, {"amigen_ipvs": "ready"}, "6.1", report("failed"), ("not ready", "verification")),
        ("ipvs", None, {}, "6.1", report("passed"), ("ready", "verification")),
        ("ipvs", None, {}, "6.1", {"test_module_loaded[nf_tables]": "passed"}, ("not known", "")),
        ("nftables", None, {}, "5.10.223", None, ("not ready", "kernel")),
        ("nftables", None, {}, "5.13.0", None, ("ready", "kernel")),
        ("nftables", gathered("nf_tables", kernel="5.4.0"), {}, "6.1", None, ("not ready", "looked")),
        ("iptables", None, {}, "4.19", None, ("ready", "mode")),
    ],
)  # fmt: skip
def test_readiness(
    mode: Any,
    facts: Any,
    labels: dict[str, str],
    kernel: str,
    verified: dict[str, str] | None,
    expected: tuple[str, str],
) -> None:
    """What was seen outweighs what is said."""
    (node,) = daemonset.nodes([a_node("a", kernel, **labels)])

    found = readiness(node, mode, "rr", gathered=facts, verified=verified)

    assert (found.verdict, found.by) == expected


def test_stale_pods_are_restarted_without_a_change() -> None:
    """The ConfigMap was edited, the DaemonSet not restarted."""
    text = samples.EKS_CONFIG.replace('"iptables"', '"ipvs"')
    base = observed(text=text, pods=[a_pod("a", "2026-01-01T00:00:00Z"), a_pod("b")])
    meta = base.config_map["metadata"] | {
        "managedFields": [{"manager": "kubectl-edit", "time": "2026-03-01T00:00:00Z"}]
    }
    found = replace(base, config_map=dict(base.config_map) | {"metadata": meta})

    plan = make_plan(found, Settings(mode="ipvs"), ChangeRequest())

    assert (plan.changes, plan.stale, plan.nothing_to_do) == (False, ("a",), False)
    assert not any("PUT" in call for call in plan.calls)


def a_saved(**more: str) -> Saved:
    values = {
        "format": "amigen kube-proxy 1",
        "cluster": "prod", "server": "https://x.eks.amazonaws.com", "way": "configmap", "name": "kube-proxy-config",
        "key": "config", "before": samples.EKS_CONFIG, "after": "x", "at": "2026-05-01T10:00:00Z",
    }  # fmt: skip
    return Saved(**(values | more))  # type: ignore[arg-type]


def test_saved_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written for the owner only, found newest first, refused on another cluster."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    save(a_saved())
    save(a_saved(before="aside"), aside=True)
    path = save(a_saved(after="y"))

    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert newest("prod", "https://x.eks.amazonaws.com") == path
    assert load(path, "https://x.eks.amazonaws.com").after == "y"
    with pytest.raises(InputError, match="saved from"):
        load(path, "https://other")
    with pytest.raises(InputError, match="nothing is saved"):
        newest("other", "https://x")
    path.write_text("{}")
    with pytest.raises(InputError, match="not a configuration that amigen saved"):
        load(path, "https://x.eks.amazonaws.com")


def test_a_configuration_that_0_1_0_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text, byte by byte, is read and written as before."""
    text = (
        '{\n  "format": "amigen kube-proxy 1",\n  "cluster": "prod",\n  "server": "https://x",\n  "way": "configmap",\n'
        '  "name": "kube-proxy",\n  "key": "config.conf",\n  "before": "mode: \\"\\"\\n# caf\\u00e9\\n",\n'
        '  "after": "y",\n'
        '  "at": "2026-05-01T10:00:00Z"\n}\n'
    )
    (tmp_path / "old.json").write_text(text)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    saved = load(tmp_path / "old.json", "https://x")

    assert saved.before == 'mode: ""\n# café\n'
    assert json.loads(save(saved).read_text()) == json.loads(text)
    for wrong in (
        text.replace("configmap", "x"),
        text.replace('"y"', "1"),
        text.replace("proxy 1", "proxy 2"),
        "[]",
        "x",
    ):
        (tmp_path / "old.json").write_text(wrong)
        with pytest.raises(InputError, match="not a configuration that amigen saved"):
            load(tmp_path / "old.json", "https://x")


def test_rollback_through_the_addon() -> None:
    """Its values go back; a change by somebody else is a conflict."""
    saved = a_saved(way="addon", name="prod", before="", after='{"mode": "ipvs"}')
    state = replace(ADDON, values='{"mode": "ipvs"}')

    plan = plan_rollback(observed(addon=state), saved, ChangeRequest())

    assert (plan.after, plan.settings.mode, plan.changes) == ("", "iptables", True)
    with pytest.raises(ConflictError):
        plan_rollback(observed(addon=replace(ADDON, values='{"mode": "nftables"}')), saved, ChangeRequest())
    assert not plan_rollback(observed(addon=replace(ADDON, values="")), saved, ChangeRequest()).changes


def migration(text: str, version: str, nodes: tuple[Node, ...] = (), **more: Any) -> Migration:
    return plan_migration(KubeProxy(config=read_config(text, "x"), proxy_version=version, nodes=nodes, **more), "node")


def test_migration_from_ipvs() -> None:
    """What each setting maps to, what nodes need, what to clean up, and a spec that amigen itself accepts."""
    text = samples.EKS_CONFIG.replace('mode: "iptables"', 'mode: "ipvs"').replace('scheduler: ""', "scheduler: sh")
    text = text.replace("  syncPeriod: 30s\nkind", "  syncPeriod: 10s\n  strictARP: true\n  tcpTimeout: 15m\nkind")
    nodes = daemonset.nodes([a_node("a", "5.10.1"), a_node("b", "6.1.0")])

    found = migration(text, "1.33", nodes)

    rows = {row.setting: row for row in found.settings}
    assert rows["ipvs.scheduler"].becomes == ""
    assert rows["ipvs.scheduler"].matters
    assert rows["ipvs.syncPeriod"].becomes == "nftables.syncPeriod=10s"
    assert "kube-ipvs0" in rows["ipvs.strictARP"].note
    assert "conntrack" in rows["ipvs.tcpTimeout"].note
    assert rows["nodePortAddresses"].matters
    assert rows["ipvs.minSyncPeriod"].target == "nothing to set"
    assert len([row for row in found.settings if row.setting == "ipvs.scheduler"]) == 1
    assert [(one.node, one.verdict) for one in found.nodes] == [("a", "not ready"), ("b", "ready")]
    assert "kube-ipvs0" in " ".join(found.cleanup)
    assert found.blocked is None
    assert "--set nftables.syncPeriod=10s" in " ".join(found.steps)
    text = show.migration_text(found)
    assert "! ipvs.scheduler=sh -> no counterpart" in text


def test_the_migration_spec_is_valid(tmp_path: Path) -> None:
    """`amigen check` takes it."""
    from amigen.spec.load import load_spec

    found = migration(samples.KUBEADM_CONFIG, "1.33", daemonset.nodes([a_node("a")]))
    path = tmp_path / "spec.yaml"
    path.write_text(found.spec)

    spec = load_spec(path)

    assert (spec.kube_proxy.mode, spec.platforms, spec.kubernetes_version) == ("nftables", ("al2023",), "1.33")


def test_keywords_of_node_port_addresses() -> None:
    """Several, and beside CIDRs, from 1.37 on; primary alone in every version."""
    many = dict([read_field("nodePortAddresses=primary,localhost,10.0.0.0/8")])
    alone = dict([read_field("nodePortAddresses=primary")])

    assert make_plan(observed(version="1.37"), Settings(mode="nftables", fields=many), ChangeRequest()).changes
    assert make_plan(observed(version="1.36"), Settings(mode="nftables", fields=alone), ChangeRequest()).changes
    with pytest.raises(RefusedError, match=r"kube-proxy 1\.36 refuses nodePortAddresses with primary, localhost"):
        make_plan(observed(version="1.36"), Settings(mode="nftables", fields=many), ChangeRequest())


def test_differences_of_nftables_mode() -> None:
    """Each with its remedy; the one of old kernels names the nodes that have them, and none where there are none."""
    nodes = daemonset.nodes([a_node("a", "5.15.0"), a_node("b", "6.1.0")])

    old, new, unknown = (migration(samples.EKS_CONFIG, "1.37", part).differences for part in (nodes, nodes[1:], ()))

    assert ["local firewall" in one for one in old].count(True) == 1
    (liberal,) = (one for one in old if "conntrack" in one)
    assert liberal.startswith("a: kernels before 6.1 close")
    assert "--set conntrack.tcpBeLiberal=true [https://kubernetes.io/" in liberal
    assert not any("conntrack" in one for one in new)
    assert any("conntrack" in one for one in unknown)
    assert "what works otherwise:" in show.migration_text(migration(samples.EKS_CONFIG, "1.37", nodes))
    assert not any(
        "tcpBeLiberal" in one
        for one in migration(samples.EKS_CONFIG + "conntrack: {tcpBeLiberal: true}\n", "1.37", nodes).differences
    )


@pytest.mark.parametrize(
    ("version", "patch", "nft", "says"),
    [
        ("1.34", 6, (1, 1, 3), "a: the nft 1.0.6 of kube-proxy's image"),
        ("1.34", 7, (1, 1, 3), ""),
        ("1.35", 3, (1, 1, 1), ""),
        ("1.35", 3, None, "the nft 1.0.6 of kube-proxy's image"),
        ("1.35", None, None, "the nft 1.0.6 of kube-proxy's image"),
        ("1.35", 4, None, ""),
        ("1.32", 13, (1, 1, 2), "a: the nft"),
        ("1.37", 0, (1, 1, 6), ""),
    ],
)
def test_versions_of_nft_that_clash(version: str, patch: int | None, nft: tuple[int, ...] | None, says: str) -> None:
    """By the patch version of kube-proxy and the nft of each node; where no node was asked, by the former alone."""
    nodes = daemonset.nodes([a_node("a")])
    facts = {"a": NodeFacts(nft=nft)} if nft else {}

    found = migration(samples.EKS_CONFIG, version, nodes, proxy_patch=patch, gathered=facts)

    clashes = [one for one in found.differences if "nft 1.0.6" in one]
    assert [one.startswith(says) for one in clashes] == ([True] if says else [])
    assert all(("--look" in one) == (nft is None) for one in clashes)


@pytest.mark.parametrize(
    ("now", "then", "says"),
    [
        ("ipvs", "nftables", "connections to Services end"),
        ("nftables", "ipvs", "connections to Services may end"),
        ("nftables", "iptables", "connections to Services go on"),
        ("iptables", "ipvs", "some established connections to Services break"),
        ("ipvs", "ipvs", ""),
    ],
)
def test_what_becomes_of_connections(now: str, then: Any, says: str) -> None:
    """By the modes before and after; a change of settings alone keeps the table."""
    text = samples.EKS_CONFIG.replace('"iptables"', f'"{now}"')
    fields: dict[str, Any] = {"ipvs.scheduler": "sed"} if now == then else {}

    reasons = show.plan_json(make_plan(observed(text=text), Settings(mode=then, fields=fields), ChangeRequest()))[
        "disruption"
    ]

    assert [one for one in reasons if "established" in one and says in one] == [
        one for one in reasons if "established" in one
    ]
    assert any("established" in one for one in reasons) == bool(says)


def test_what_only_clusters_that_leave_ipvs_are_told() -> None:
    """Addresses of Services on the node, and the flush of the whole IPVS table."""
    ipvs = samples.EKS_CONFIG.replace('"iptables"', '"ipvs"').replace("CIDRs: null", "CIDRs: [192.0.2.0/24]")

    of_ipvs, of_iptables = (migration(text, "1.37") for text in (ipvs, samples.EKS_CONFIG))

    assert any("a pod with hostNetwork" in one and "listen on 0.0.0.0" in one for one in of_ipvs.differences)
    assert not any("hostNetwork" in one for one in of_iptables.differences)
    (excluded,) = (row for row in of_ipvs.settings if row.setting == "ipvs.excludeCIDRs")
    assert excluded.matters
    assert "flushes the whole IPVS table" in excluded.note


def test_an_old_nft_of_a_node() -> None:
    """kube-proxy runs its own; the node's fails on kube-proxy's tables."""
    nodes = daemonset.nodes([a_node("a"), a_node("b")])
    facts = {"a": NodeFacts(nft=(0, 9, 8)), "b": NodeFacts(nft=(1, 0, 1))}

    found = migration(samples.EKS_CONFIG, "1.37", nodes, gathered=facts).differences

    (old,) = (one for one in found if "1.0.1" in one)
    assert old.startswith("a: kube-proxy runs the nft of its own image, never the node's")
    assert old.endswith("issues/122743]; update nft there, or remove it")


@pytest.mark.parametrize(("version", "says"), [("1.36", False), ("1.37", True)])
def test_an_unset_mode(version: str, says: bool) -> None:
    """A note from the version on in which kube-proxy warns of it."""
    unset = samples.EKS_CONFIG.replace('mode: "iptables"', 'mode: ""')

    assert bool(health.notes(observed(version=version, text=unset))) == says
    assert health.notes(observed(version=version)) == ()
    assert ("note: mode is unset" in show.cluster_text(observed(version=version, text=unset), ())) == says


def test_migration_that_is_not_possible_yet() -> None:
    """Before 1.29 the plan says so."""
    found = migration(samples.KUBEADM_CONFIG, "1.28")

    assert found.blocked is not None
    assert "not yet:" in show.migration_text(found)
