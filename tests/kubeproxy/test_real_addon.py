"""The add-on's way on a real API server; EKS itself is the local stand-in, which edits the ConfigMap as EKS would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen.kubeproxy.config import read_config
from amigen.kubernetes.kinds import CONFIG_MAPS
from tests.kubeproxy.real_world import World
from tests.real.eks_server import EksServer

pytestmark = pytest.mark.slow


@pytest.fixture
def eks(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[EksServer]:
    """An EKS that manages the world's kube-proxy: with PRESERVE it leaves what is not as it wrote it."""
    wrote = [read_config(world.text(), "x").text]

    def write(values: dict[str, Any], resolve: str) -> None:
        found = world.cluster.get(CONFIG_MAPS, "kube-proxy")
        text = found["data"]["config.conf"]
        if resolve == "PRESERVE" and text != wrote[-1]:
            return
        ipvs = values.get("ipvs") or {}
        wanted = {"mode": values.get("mode", "iptables"), "ipvs.scheduler": ipvs.get("scheduler", "")}
        wrote.append(read_config(text, "x").edited(wanted).text)
        found["data"]["config.conf"] = wrote[-1]
        found["metadata"].pop("managedFields")
        world.cluster.replace(CONFIG_MAPS, "kube-proxy", found)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr("amigen.kubeproxy.addon._POLL_SECONDS", 0.1)
    monkeypatch.setattr("amigen.kubeproxy.ways.addon._ARRIVAL_SECONDS", 0.1)
    with EksServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", server.url)
        server.state.on_success = write
        yield server


NAME = ("--cluster-name", "prod", "--region", "eu-central-1")


def test_apply_and_rollback_through_the_addon(world: World, eks: EksServer) -> None:
    """Updated, followed, restarted, read back; the other setting stays; and back again by one command."""
    result = world.run("apply", *NAME, "--mode", "ipvs", "--scheduler", "lc", "--yes")

    assert result.exit_code == 0, result.stderr
    assert json.loads(eks.state.values) == {"ipvs": {"scheduler": "lc"}, "mode": "ipvs", "podLabels": {"team": "net"}}
    assert "add-on update update-1: Successful" in result.stderr
    assert "node-b: ipvs (by log)" in result.stderr
    assert "nothing to do" in world.run("apply", *NAME, "--mode", "ipvs", "--scheduler", "lc", "--yes").stdout

    back = world.run("rollback", *NAME, "--yes")

    assert back.exit_code == 0, back.stderr
    assert json.loads(eks.state.values) == {"podLabels": {"team": "net"}}
    assert "node-b: iptables (by log)" in back.stderr


def test_an_edit_by_hand_that_preserve_keeps(world: World, eks: EksServer) -> None:
    """No kube-proxy is restarted for an update that does not show; OVERWRITE takes it back."""
    world.edit('mode: ""', 'mode: "nftables"')

    kept = world.run("apply", *NAME, "--mode", "ipvs", "--resolve-conflicts", "PRESERVE", "--yes")
    status = world.run("status", *NAME)

    assert kept.exit_code == 11
    assert "mode is nftables, not ipvs" in kept.stderr
    assert "restarted DaemonSet" not in kept.stderr
    assert status.exit_code == 6
    assert "mode is nftables, not ipvs" in status.stdout
    again = world.run("apply", *NAME, "--mode", "ipvs", "--yes")
    assert again.exit_code == 0, again.stderr
    assert "node-a: ipvs (by log)" in again.stderr


def test_a_failing_update_leaves_the_way_back(world: World, eks: EksServer) -> None:
    """The error explained, the saved configuration and the way back; no kube-proxy was restarted."""
    eks.state.outcome = "Failed"
    eks.state.errors = [{"errorCode": "ConfigurationConflict", "errorMessage": "Apply failed with 1 conflict"}]
    before = world.text()

    result = world.run("apply", *NAME, "--mode", "ipvs", "--yes")

    assert result.exit_code == 10
    assert "ConfigurationConflict: Apply failed with 1 conflict" in result.stderr
    assert "saved configuration:" in result.stderr
    assert "way back: amigen kube-proxy rollback" in result.stderr
    assert "restarted DaemonSet" not in result.stderr
    assert world.text() == before


def test_the_addon_is_not_fought(world: World, eks: EksServer) -> None:
    """--by configmap is refused while the add-on manages it."""
    before = world.text()

    result = world.run("apply", *NAME, "--mode", "ipvs", "--by", "configmap", "--yes")

    assert result.exit_code == 13
    assert "the EKS add-on manages kube-proxy" in result.stderr
    assert world.text() == before
    assert not any(name == "UpdateAddon" for name, _ in eks.state.calls)


def test_what_the_schema_lacks_is_refused_before_anything(world: World, eks: EksServer, tmp_path: Path) -> None:
    """tcpTimeout is not in the add-on's schema."""
    result = world.run("apply", *NAME, "--mode", "ipvs", "--set", "ipvs.tcpTimeout=900s", "--yes")

    assert result.exit_code == 13
    assert "tcpTimeout" in result.stderr
    assert "delete-addon" in result.stderr
    assert not any(name == "UpdateAddon" for name, _ in eks.state.calls)
    assert world.run("rollback", "--list").stdout == ""
