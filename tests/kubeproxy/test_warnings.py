"""What a plan warns of, by version, mode, feature gates and flags."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from amigen.base.errors import InputError, RefusedError
from amigen.kubeproxy import show
from amigen.kubeproxy.change import ChangeRequest
from amigen.kubeproxy.fields import Value
from amigen.kubeproxy.plan import make_plan
from amigen.kubeproxy.settings import Settings
from amigen.kubeproxy.versions import gates_refused, states
from tests.kubeproxy import samples
from tests.kubeproxy.test_plan import ADDON, observed

IPVS = samples.EKS_CONFIG.replace('"iptables"', '"ipvs"')
NFTABLES = samples.EKS_CONFIG.replace('"iptables"', '"nftables"')


def warned(settings: Settings, **more: Any) -> str:
    return "\n".join(make_plan(observed(**more), settings, ChangeRequest()).warnings)


def test_nftables_warns_of_what_changes() -> None:
    """NodePorts, localhost, settings without counterpart, nft, and where all of it is listed."""
    text = IPVS.replace('scheduler: ""', "scheduler: sh\n  strictARP: true\n  tcpTimeout: 15m")

    of_ipvs, of_iptables = warned(Settings(mode="nftables"), text=text), warned(Settings(mode="nftables"))

    for expected in ("nodePortAddresses=(unset)", "only its primary ones", "ipvs.scheduler=sh -> no counterpart",
                     "ipvs.strictARP=true", "ipvs.tcpTimeout=15m", "where that is older than 1.0.1, or missing",
                     "`amigen kube-proxy migrate`"):  # fmt: skip
        assert expected in of_ipvs
    assert "nftables mode serves no node ports on 127.0.0.1" in of_iptables
    assert "127.0.0.1" not in of_ipvs  # nor are they in ipvs mode
    assert "migrate" not in warned(Settings(mode="nftables"), text=NFTABLES)


def test_what_the_change_itself_sets_is_no_loss() -> None:
    """Node ports kept, and a setting taken over."""
    text = samples.EKS_CONFIG.replace("masqueradeAll: false", "masqueradeAll: true")
    fields: dict[str, Value] = {"nodePortAddresses": ["0.0.0.0/0"], "nftables.masqueradeAll": True}

    assert "iptables.masqueradeAll=true -> nftables.masqueradeAll=true" in warned(Settings(mode="nftables"), text=text)
    found = warned(Settings(mode="nftables", fields=fields), text=text)
    assert "nodePortAddresses" not in found
    assert "masqueradeAll" not in found


@pytest.mark.parametrize(
    ("version", "later"),
    [("1.34", ["1.35", "1.40", "1.43"]), ("1.36", ["1.40", "1.43"]), ("1.39", ["1.40", "1.43"]), ("1.41", ["1.43"])],
)
def test_each_worse_state_to_come_is_told(version: str, later: list[str]) -> None:
    """From stable to removed."""
    found = [".".join(map(str, fact.since)) for fact in states(version)[3:]]

    assert found == later


@pytest.mark.parametrize(
    ("version", "says"),
    [("1.32", ""), ("1.33", "ipvs is deprecated since 1.35"), ("1.34", "ipvs is deprecated since 1.35"), ("1.36", ""),
     ("1.38", "ipvs is planned to be off by default from 1.40 on"), ("1.39", "from 1.40 on")],
)  # fmt: skip
def test_a_worse_state_that_is_near_is_a_warning(version: str, says: str) -> None:
    """One or two minor versions away."""
    lines = warned(Settings(mode="ipvs"), version=version, text=NFTABLES).split("\n")
    found = [line for line in lines if "this is 1." in line]

    assert bool(found) == bool(says)
    assert not says or says in found[0]


@pytest.mark.parametrize(
    ("version", "gate", "value", "says"),
    [
        ("1.34", "KubeProxyIPVS", True, "it exists since 1.37"),
        ("1.36", "KubeProxyIPVS", False, "it exists since 1.37"),
        ("1.28", "NFTablesProxyMode", True, "it exists since 1.29"),
        ("1.33", "NFTablesProxyMode", False, "it is fixed to true since 1.33"),
        ("1.36", "KubeProxyNFTablesLocalhostNodePorts", True, "it exists since 1.37"),
        ("1.33", "NFTablesProxyMode", True, None),
        ("1.32", "NFTablesProxyMode", False, None),
        ("1.37", "KubeProxyIPVS", True, None),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_gates_that_make_kube_proxy_exit(version: str, gate: str, value: bool, says: str | None, there: bool) -> None:
    """In the change or in the configuration already."""
    text = IPVS + f"featureGates: {{{gate}: {str(value).lower()}}}\n" if there else IPVS
    settings = Settings(mode="ipvs", fields={} if there else {f"featureGates.{gate}": value})

    if says is None:
        make_plan(observed(version=version, text=text), settings, ChangeRequest())
        return
    with pytest.raises(RefusedError) as caught:
        make_plan(observed(version=version, text=text), settings, ChangeRequest())
    assert says in caught.value.message


def test_other_gates_are_a_warning() -> None:
    """Of a version whose gates amigen does not know; of the others kube-proxy exits."""
    settings = Settings(mode="ipvs", fields={"featureGates.Foo": True, "featureGates.KubeProxyIPVS": True})
    with pytest.raises(InputError, match="has no feature gate Foo"):
        warned(settings, version="1.37")
    found = warned(settings, version="1.38")

    assert "does not know the feature gate Foo" in found
    known = Settings(mode="ipvs", fields={"featureGates.ContextualLogging": True})
    assert "does not know" not in warned(known, version="1.35")
    assert "gate KubeProxyIPVS:" not in found


def test_flags_beside_config_are_a_warning() -> None:
    """kube-proxy ignores them, whatever they promise."""
    found = observed()
    container = found.daemon_set["spec"]["template"]["spec"]["containers"][0]
    assert "ignores them" not in "\n".join(make_plan(found, Settings(mode="ipvs"), ChangeRequest()).warnings)
    container["command"] += ["--proxy-mode=iptables", "--ipvs-scheduler=rr", "--v=2"]

    text = show.plan_text(make_plan(found, Settings(mode="ipvs"), ChangeRequest()))

    assert "also has --proxy-mode=iptables, --ipvs-scheduler=rr: beside --config kube-proxy ignores them" in text


def test_the_printed_call_runs_as_it_stands() -> None:
    """Values with a quote in them, pasted into a shell."""
    addon = replace(ADDON, values='{"podAnnotations": {"a": "it\'s; reboot"}}')
    plan = make_plan(observed(addon=addon), Settings(mode="ipvs"), ChangeRequest())
    (call,) = (call for call in plan.calls if "UpdateAddon" in call)

    assert plan.after in shlex.split(call.removeprefix("eks:UpdateAddon: "))


@pytest.mark.parametrize("gate", ["KubeProxyIPVS", "AllowServiceExternalIPs"])
def test_gates_that_are_fixed_to_false(gate: str) -> None:
    """Planned for 1.43: kube-proxy exits where the configuration still sets it to true."""
    refused = gates_refused({gate: True}, "1.43")

    assert refused is not None
    assert f"exits with featureGates.{gate}=true: it is fixed to false since 1.43" in refused.message
    assert gates_refused({gate: False}, "1.43") is None
    assert gates_refused({gate: True}, "1.42") is None
