"""The add-on's way by the command line: an API server and an EKS that are stand-ins (tests/kubeproxy/fake_api.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from amigen.kubeproxy.config import read_config
from tests.kubeproxy import fake_api
from tests.kubeproxy.fake_api import FakeApi
from tests.real.eks_server import EksServer


@dataclass
class Eks:
    """Both servers, and what EKS does in the cluster when an update ends well."""

    api: FakeApi
    server: EksServer
    kubeconfig: Path
    wrote: str

    def write(self, values: dict[str, Any], resolve: str) -> None:
        if resolve == "PRESERVE" and self.api.text != self.wrote:
            return
        ipvs = values.get("ipvs") or {}
        wanted = {"mode": values.get("mode", "iptables"), "ipvs.scheduler": ipvs.get("scheduler", "")}
        self.wrote = read_config(self.api.text, "x").edited(wanted).text
        self.api.write(self.wrote)

    def run(self, *arguments: str, text: str | None = None) -> Result:
        name = ("--kubeconfig", str(self.kubeconfig), "--cluster-name", "prod", "--region", "eu-central-1")
        return fake_api.run(*arguments, *name, text=text)

    def updates(self) -> list[dict[str, Any]]:
        return [given for name, given in self.server.state.calls if name == "UpdateAddon"]

    def edit_by_hand(self, mode: str) -> None:
        self.api.write(read_config(self.api.text, "x").edited({"mode": mode}).text)


@pytest.fixture
def eks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Eks]:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
                        "XDG_STATE_HOME": str(tmp_path / "state")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("amigen.kubeproxy.addon._POLL_SECONDS", 0.01)
    monkeypatch.setattr("amigen.kubeproxy.ways.addon._ARRIVAL_SECONDS", 0.1)
    monkeypatch.setattr("amigen.kubeproxy.apply.RESTART_SECONDS", 0.01)
    monkeypatch.setattr("amigen.kubeproxy.apply._POLL_SECONDS", 0.05)
    with EksServer() as server, FakeApi() as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", server.url)
        found = Eks(api=api, server=server, kubeconfig=api.kubeconfig(tmp_path), wrote=api.text)
        server.state.on_success = found.write
        yield found


IPVS = ("--mode", "ipvs", "--scheduler", "lc")


def test_a_configmap_that_contradicts_the_addon_is_no_nothing_to_do(eks: Eks) -> None:
    """Edited by hand after the update: the update is sent again, and then it is as wanted."""
    assert eks.run("apply", *IPVS, "--yes").exit_code == 0
    eks.edit_by_hand("iptables")

    plan = eks.run("plan", *IPVS)
    again = eks.run("apply", *IPVS, "--yes")

    assert "nothing to do" not in plan.stdout
    assert "mode is iptables, not ipvs" in plan.stdout
    assert again.exit_code == 0, again.stderr
    assert len(eks.updates()) == 2
    assert read_config(eks.api.text, "x").mode == "ipvs"
    assert "nothing to do" in eks.run("apply", *IPVS, "--yes").stdout


def test_preserve_keeps_the_hand_edit_and_that_is_said(eks: Eks) -> None:
    """The update ends well and changes nothing: no kube-proxy is restarted for that, and the way out is named."""
    assert eks.run("apply", *IPVS, "--yes").exit_code == 0
    eks.edit_by_hand("iptables")
    uids = [pod["metadata"]["annotations"] for pod in eks.api.lists["pods"]]

    kept = eks.run("apply", "--mode", "nftables", "--resolve-conflicts", "PRESERVE", "--yes")

    assert kept.exit_code == 11, kept.stderr
    assert "mode is iptables, not nftables" in kept.stderr
    assert "--resolve-conflicts OVERWRITE" in kept.stderr
    assert [pod["metadata"]["annotations"] for pod in eks.api.lists["pods"]] == uids


def test_status_says_where_addon_and_configmap_differ(eks: Eks) -> None:
    """In text and JSON, and by the exit code."""
    assert eks.run("apply", *IPVS, "--yes").exit_code == 0
    assert eks.run("status").exit_code == 0
    eks.edit_by_hand("iptables")

    text, document = eks.run("status"), eks.run("status", "--output", "json")

    assert text.exit_code == document.exit_code == 6
    assert "mode is iptables, not ipvs" in text.stdout
    assert json.loads(document.stdout)["drift"] == ["mode is iptables, not ipvs"]


def interrupted(eks: Eks) -> None:
    """An update of amigen that nobody follows any more."""
    eks.server.state.polls = 10**6
    assert eks.run("apply", *IPVS, "--yes", "--timeout", "1").exit_code == 10
    eks.server.state.polls = 1
    for update in eks.server.state.updates.values():
        update["left"] = 3


def test_an_interrupted_update_is_followed_to_its_end(eks: Eks) -> None:
    """The same request again: no second update, the first is followed, kube-proxy restarted and read back."""
    interrupted(eks)

    plan = eks.run("plan", *IPVS)
    again = eks.run("apply", *IPVS, "--yes")

    assert "the add-on update update-1 is under way with these values" in plan.stdout
    assert again.exit_code == 0, again.stderr
    assert len(eks.updates()) == 1
    assert "add-on update update-1: Successful" in again.stderr
    assert "a: ipvs (by log)" in again.stderr
    assert "nothing to do" in eks.run("apply", *IPVS, "--yes").stdout


@pytest.mark.parametrize("command", [("plan", "--mode", "nftables"), ("apply", "--mode", "nftables"), ("rollback",)])
def test_another_update_under_way_is_a_conflict_before_anybody_is_asked(eks: Eks, command: tuple[str, ...]) -> None:
    """Somebody else's, or an own one with other values."""
    interrupted(eks)
    eks.server.state.updates["update-1"]["left"] = 10**6

    result = eks.run(*command)

    assert result.exit_code == 5, result.stderr
    assert "update-1, is under way" in result.stderr
    assert len(eks.updates()) == 1


@pytest.mark.parametrize("change", [{"values": '{"podLabels": {"team": "new"}}'}, {"version": "v1.34.0-eksbuild.1"},
                                    {"status": "UPDATING"}])  # fmt: skip
def test_settings_of_others_are_not_lost(eks: Eks, change: dict[str, str]) -> None:
    """Somebody changes the add-on while the question is open: nothing is sent, and nothing is left saved."""

    def meanwhile(method: str, kind: str) -> None:
        if kind == "selfsubjectaccessreviews":
            for key, value in change.items():
                setattr(eks.server.state, key, value)

    eks.api.before = meanwhile

    result = eks.run("apply", *IPVS, text="y\n")

    assert result.exit_code == 5, result.stderr
    assert "the add-on was changed concurrently" in result.stderr
    assert "nothing was changed" in result.stderr
    assert eks.updates() == []
    assert eks.run("rollback", "--list").stdout == ""
