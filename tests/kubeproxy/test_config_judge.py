"""KubeProxyConfiguration as people write it, read and edited: kube-proxy's own decoder is the judge.

What it reads is never refused as unreadable; after an edit it reads what was wanted; all other bytes are as they were.
"""

# ruff: noqa: E501 - texts as people write them

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
import yaml

from amigen.base.errors import InputError
from amigen.knowledge import PROXY_MODES
from amigen.kubeproxy.config import UnreadableError, read_config
from amigen.kubeproxy.fields import _KIND_OF, Value, refusals
from tests.kubeproxy.samples import EKS_CONFIG, KUBEADM_CONFIG
from tests.kubeproxy.test_rules import ask

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
CHANGES: dict[str, Value] = {"mode": "ipvs", "ipvs.scheduler": "lc", "nodePortAddresses": ["10.0.0.0/8", "::/0"]}

# Text -> the same after the edit.
CASES = {
    "a list at its parent's column": (
        HEAD + "nodePortAddresses:\n- 192.0.2.0/24 # old\n# the mode\nmode: iptables\nipvs:\n  excludeCIDRs:\n"
        "  - 10.0.0.0/8\n  - 10.1.0.0/16\n  # last\n",
        HEAD + 'nodePortAddresses:\n- "10.0.0.0/8"\n- "::/0" # old\n# the mode\nmode: "ipvs"\nipvs:\n  excludeCIDRs:\n'
        '  - 10.0.0.0/8\n  - 10.1.0.0/16\n  # last\n  scheduler: "lc"\n',
    ),
    "tabs before comments": (
        HEAD
        + "mode: iptables\t# the mode\nipvs:\t# of ipvs\n  scheduler: rr\t\t# even\nnodePortAddresses: []\t# none\n",
        HEAD + 'mode: "ipvs"\t# the mode\nipvs:\t# of ipvs\n  scheduler: "lc"\t\t# even\n'
        'nodePortAddresses: ["10.0.0.0/8", "::/0"]\t# none\n',
    ),
    "a trailing document mark": (
        "---\n" + HEAD + "mode: iptables\nipvs: {}\nnodePortAddresses: null\n---\n",
        "---\n" + HEAD + 'mode: "ipvs"\nipvs: {"scheduler": "lc"}\nnodePortAddresses: ["10.0.0.0/8", "::/0"]\n---\n',
    ),
    "a second document": (
        HEAD + "# end\n---\nmode: [\n",
        HEAD + 'mode: "ipvs"\nipvs:\n  scheduler: "lc"\n# end\nnodePortAddresses: ["10.0.0.0/8", "::/0"]\n'
        "---\nmode: [\n",
    ),
    "a document end": (
        HEAD + "ipvs:\n    scheduler:\n...\n",
        HEAD + 'ipvs:\n    scheduler: "lc"\nmode: "ipvs"\nnodePortAddresses: ["10.0.0.0/8", "::/0"]\n...\n',
    ),
    "duplicate keys, of which the last counts": (
        HEAD + "mode: iptables\nipvs: {scheduler: rr}\nmode: nftables\nipvs: {scheduler: sh}\nnodePortAddresses: []\n",
        HEAD + 'mode: iptables\nipvs: {scheduler: rr}\nmode: "ipvs"\nipvs: {scheduler: "lc"}\n'
        'nodePortAddresses: ["10.0.0.0/8", "::/0"]\n',
    ),
    "a byte order mark and Windows' line ends": (
        "\ufeff"
        + HEAD.replace("\n", "\r\n")
        + "mode: iptables # é\r\nipvs:\r\n  scheduler: rr\r\nnodePortAddresses:\r\n- x\r\n",
        "\ufeff"
        + HEAD.replace("\n", "\r\n")
        + 'mode: "ipvs" # é\r\nipvs:\r\n  scheduler: "lc"\r\nnodePortAddresses:\r\n'
        '- "10.0.0.0/8"\r\n- "::/0"\r\n',
    ),
    "JSON indented with tabs": (
        '{\n\t"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",\n\t"kind": "KubeProxyConfiguration",\n\t"mode": "",\n'
        '\t"ipvs": {"scheduler": ""},\n\t"nodePortAddresses": null\n}\n',
        '{\n\t"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",\n\t"kind": "KubeProxyConfiguration",\n\t"mode": "ipvs",\n'
        '\t"ipvs": {"scheduler": "lc"},\n\t"nodePortAddresses": ["10.0.0.0/8", "::/0"]\n}\n',
    ),
    "a block text at the end": (
        HEAD + "mode: iptables\nipvs: {scheduler: lc}\nnodePortAddresses: []\nhealthzBindAddress: |+\n  x\n\n",
        HEAD
        + 'mode: "ipvs"\nipvs: {scheduler: lc}\nnodePortAddresses: ["10.0.0.0/8", "::/0"]\nhealthzBindAddress: |+\n'
        "  x\n\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_field_case(case: str) -> None:
    """The whole text after the edit, byte by byte."""
    before, expected = CASES[case]

    assert read_config(before, "x").edited(CHANGES).text == expected


@pytest.mark.slow
def test_the_judge_reads_every_field_case() -> None:
    """Before the edit, and with the wanted values after it."""
    befores = ask("config", [before for before, _ in CASES.values()])
    afters = ask("config", [after for _, after in CASES.values()])

    for case, before, after in zip(CASES, befores, afters, strict=True):
        assert "error" not in before, (case, before)
        assert "error" not in after, (case, after)
        found = after["config"]
        assert (found["Mode"], found["IPVS"]["Scheduler"]) == ("ipvs", "lc"), case
        assert found["NodePortAddresses"] == ["10.0.0.0/8", "::/0"], case


_LINES = [
    *KUBEADM_CONFIG.splitlines(), *EKS_CONFIG.splitlines(), "ipvs:", "ipvs: {}", "ipvs: &a {tcpTimeout: 1s}", "mode: |",
    "  text", "mode: >-", "? mode", ": nftables", "<<: *a", "mode: 'x' # y", "ipvs: {scheduler: rr, }", "  - 10.0.0.0/8",
    "- 10.0.0.0/8", "nodePortAddresses:", "nodePortAddresses:\t# which", "# a comment", "  # deeper", "mode: ~",
    "%YAML 1.1", "...", "---", "ipvs: {\n scheduler: rr\n}", "mode: !!str x", "1: 2", "mode : a", '"mode": b', "\tx",
    "  scheduler: rr\t# tab", "\t# a tab", "", "mode:\tipvs", "mode: on", "ipvs:\n  excludeCIDRs:\n  - 10.0.0.0/8",
    "iptables:\n    masqueradeAll: yes\n    syncPeriod: 30s", "mode: null # none", "conntrack: {min: 0x10}", "mode: *a",
    "clusterCIDR: &b 10.0.0.0/8", "healthzBindAddress: |+\n  x\n", "bindAddress: \"a\\\n  b\"", "x: [a,\n b]",
]  # fmt: skip


def _text(dice: random.Random) -> str:
    lines = [dice.choice(_LINES) for _ in range(dice.randint(0, 9))]
    if dice.random() < 0.3:
        whole = dice.choice((KUBEADM_CONFIG, EKS_CONFIG)).splitlines()
        for line in lines[:3]:
            whole.insert(dice.randint(0, len(whole)), line)
        return dice.choice(("\n", "\r\n")).join(whole) + dice.choice(("", "\n"))
    return HEAD + "\n".join(lines) + dice.choice(("", "\n"))


def _wanted(values: dict[str, object]) -> str:
    out = dict(values)
    ipvs = out.get("ipvs")
    out |= {"mode": "ipvs", "nodePortAddresses": CHANGES["nodePortAddresses"]}
    out["ipvs"] = {**(ipvs if isinstance(ipvs, dict) else {}), "scheduler": "lc"}
    return json.dumps(out)


@pytest.mark.slow
def test_random_texts() -> None:
    """Read whenever kube-proxy reads them, and with the same values; edited exactly, or refused for a stated reason."""
    dice = random.Random(18)
    texts = [_text(dice) for _ in range(3000)]
    answers = ask("config", texts)
    read: list[tuple[str, str]] = []
    edited: list[tuple[str, str]] = []
    refused = 0
    for text, answer in zip(texts, answers, strict=True):
        if "error" in answer:
            continue
        try:
            config = read_config(text, "x")
        except UnreadableError as error:
            raise AssertionError((text, error.message)) from None
        read.append((text, json.dumps(config.values)))
        try:
            after = config.edited(CHANGES).text
        except InputError:
            refused += 1
            continue
        edited.append((after, _wanted(dict(config.values))))
        comments = re.findall(r"(?m)(?:^|[ \t])#.*$", text.replace("\r", ""))
        # In a block text it may be a part of the mode.
        assert re.search(r"mode: [|>]", text) or [one for one in comments if one not in after] == [], (text, after)

    for pairs in (read, edited):
        first, second = ([pair[index] for pair in pairs] for index in (0, 1))
        for text, one, other in zip(first, ask("config", first), ask("config", second), strict=True):
            assert one == other, text
    assert len(read) > 800
    assert refused < len(read) // 10


# Lines of a configuration that reads as YAML: an edit that kube-proxy has not read yet, or a section of another mode.
LINES = """
ipvs: {syncPeriod: -1s}
ipvs: {syncPeriod: 0s}
ipvs: {tcpTimeout: -1s}
ipvs: {tcpTimeout: 5}
ipvs: {}
ipvs: {excludeCIDRs: [10.0.0.0]}
ipvs: {excludeCIDRs: 10.0.0.0/8}
ipvs: {excludeCIDRs: [10.0.0.5/8]}
ipvs: {strictARP: 'true'}
ipvs: {scheduler: mh}
featureGates: {A: 'true'}
featureGates: {Nope: true}
featureGates: {AllAlpha: false}
featureGates: {ContextualLogging: true, LoggingAlphaOptions: true}
foo: bar
nodePortAddresses: 10.0.0.0/8
nodePortAddresses: [10.0.0.0]
nodePortAddresses: [primary, 10.0.0.0/8]
metricsBindAddress: x
metricsBindAddress: '0.0.0.0:10249'
metricsBindAddress: '[::]:1'
metricsBindAddress: 1.2.3.4
healthzBindAddress: ''
healthzBindAddress: a:1
metricsBindAddress: 'localhost:10249'
metricsBindAddress: '127.0.0.1:99999'
clientConnection: {qps: 5}
conntrack: {maxPerCore: -1}
conntrack: {maxPerCore: '1'}
conntrack: {min: 0}
conntrack: {udpTimeout: -1s}
iptables: {masqueradeBit: 99}
nftables: {masqueradeBit: 99}
nftables: {masqueradeBit: '9'}
mode: ipvs
nftables: {syncPeriod: -1s}
nftables: {syncPeriod: 5}
configSyncPeriod: 5
configSyncPeriod: -1s
configSyncPeriod: 1h0m0.5s
bindAddressHardFail: 'yes'
detectLocalMode: Foo
detectLocalMode: NodeCIDR
oomScoreAdj: 5000
oomScoreAdj: -999
hostnameOverride: 5
clusterCIDR: 5
enableProfiling: 1
mode: ''
conntrack: {tcpBeLiberal: null}
clientConnection: {burst: a}
clientConnection: []
detectLocal: {}
bindAddress: x
bindAddress: '::'
portRange: ''
ipvs: {tcpTimeout: 1}
ipvs: {minSyncPeriod: 1m}
ipvs: {minSyncPeriod: 30s}
ipvs: {syncPeriod: 10s, minSyncPeriod: 11s}
ipvs: {syncPeriod: 0s, minSyncPeriod: 31s}
ipvs: {minSyncPeriod: -1s}
ipvs: {tcpTimeout: null}
ipvs: {strictARP: null}
ipvs: {excludeCIDRs: ['::ffff:10.0.0.0/104']}
ipvs: {excludeCIDRs: ['::ffff:10.0.0.0/8', '::ffff:10.0.0.0/128', '010.0.0.0/08', '10.0.0.0/0000000008']}
ipvs: {excludeCIDRs: ['::ffff:10.0.0.0/129']}
ipvs: {excludeCIDRs: ['10.0.0.0/+8']}
ipvs: {excludeCIDRs: ['fe80::1%eth0/64']}
ipvs: {excludeCIDRs: [primary]}
iptables: {minSyncPeriod: 5m}
iptables: {syncPeriod: 500ms}
iptables: {syncPeriod: -0s}
iptables: {syncPeriod: -1s}
iptables: {masqueradeBit: true}
iptables: {masqueradeBit: 5.0}
iptables: {masqueradeBit: 5.5}
nftables: {minSyncPeriod: 5m}
nodePortAddresses: ['::ffff:10.0.0.0/104']
nodePortAddresses: [10.0.0.0/8, 10.0.0.0/8]
nodePortAddresses: [localhost, primary]
nodePortAddresses: [all, all]
configSyncPeriod: null
configSyncPeriod: ''
conntrack: {tcpEstablishedTimeout: null}
conntrack: {udpTimeout: null}
conntrack: {maxPerCore: 3000000000}
clientConnection: {burst: -1}
clientConnection: {burst: 3000000000}
clientConnection: {qps: x}
clientConnection: {acceptContentTypes: 5}
detectLocalMode: BridgeInterface
detectLocalMode: InterfaceNamePrefix
detectLocal: {bridgeInterface: 5}
showHiddenMetricsForVersion: x
metricsBindAddress: '1.2.3.4:0'
metricsBindAddress: '::1'
metricsBindAddress: ':10249'
windowsRunAsService: 'x'
winkernel: {enableDSR: 'x'}
winkernel: {sourceVip: 5}
logging: []
logging: {format: x}
logging: {format: text}
logging: {verbosity: -1}
""".strip("\n").split("\n")


@pytest.mark.slow
@pytest.mark.parametrize("mode", PROXY_MODES)
def test_kube_proxy_starts_with_what_is_not_refused(mode: Any) -> None:
    """After the move to a mode; of the sections of other modes kube-proxy does not look at everything."""
    # A bit that it takes in nftables mode, and makes no mark of.
    lines = [line for line in LINES if (mode, line) != ("nftables", "nftables: {masqueradeBit: 99}")]
    afters = [read_config(f"{HEAD}{line}\n", "x").edited({"mode": mode}) for line in lines]
    answers = ask("config", [after.text for after in afters])

    assert [
        (line, answer.get("error") or answer.get("invalid"), found)
        for line, after, answer in zip(lines, afters, answers, strict=True)
        if bool(found := list(refusals(after.values, mode, "1.37"))) != ("error" in answer or "invalid" in answer)
    ] == []


VALUES: list[Any] = [
    None, "", 0, 1, -1, 5.0, 1.5, True, 31, 32, 99999999999, "x", "true", "1s", "-1s", "0s", "1h", "500ms", "+1s", "1µs",
    "9223372036s", "9223372037s", "1d", "30s", "2s", "10.0.0.1", "10.0.0.0/8", "::1", "0.0.0.0:80", "[::]:80", "10.0.0.1:0",
    [], ["10.0.0.0/8"], ["::/0", "10.0.0.0/8"], ["primary"], ["localhost", "all"], ["10.0.0.1"], [1], {}, {"a": 1}, "NodeCIDR",
]  # fmt: skip
# The kernel judges the scheduler; a metrics version is that of the judge, which has none; of the bit see above.
UNJUDGED = {"mode", "featureGates", "ipvs.scheduler", "showHiddenMetricsForVersion", "nftables.masqueradeBit"}


@pytest.mark.slow
def test_random_settings() -> None:
    """Each field with each kind of value, alone and together."""
    dice = random.Random(19)
    cases = []
    for _ in range(2000):
        mode = dice.choice(PROXY_MODES)
        values: dict[str, Any] = {"mode": mode}
        for path in dice.sample(sorted(set(_KIND_OF) - UNJUDGED), dice.choice((1, 1, 2, 3))):
            section, _, key = path.rpartition(".")
            holder = values.setdefault(section, {}) if section else values
            if isinstance(holder, dict):
                holder[key] = dice.choice(VALUES)
        cases.append((mode, HEAD + yaml.safe_dump(values)))
    wrong = []
    for (mode, text), answer in zip(cases, ask("config", [text for _, text in cases]), strict=True):
        try:
            refused = bool(list(refusals(read_config(text, "x").values, mode, "1.37")))
        except InputError:
            refused = True
        if refused != ("error" in answer or "invalid" in answer):
            wrong.append((text, answer.get("error") or answer.get("invalid")))
    assert wrong == []


@pytest.mark.parametrize("scheduler", ["foo", "RR"])
def test_a_scheduler_that_the_kernel_has_not(scheduler: str) -> None:
    """kube-proxy reads it, tries it and exits (pkg/proxy/ipvs/supported.go)."""
    assert list(refusals({"ipvs": {"scheduler": scheduler}}, "iptables", "1.37")) == []
    assert len(list(refusals({"ipvs": {"scheduler": scheduler}}, "ipvs", "1.37"))) == 1
