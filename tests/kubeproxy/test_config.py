"""KubeProxyConfiguration, edited in place."""

from __future__ import annotations

import difflib
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amigen.base.errors import InputError
from amigen.kubeproxy.config import ProxyConfig, read_config
from amigen.kubeproxy.fields import Value
from tests.kubeproxy.samples import EKS_CONFIG, KUBEADM_CONFIG

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
IPVS: dict[str, Value] = {"mode": "ipvs", "ipvs.scheduler": "lc"}


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.split("\n"), after.split("\n"))
    return [line for line in lines if line[0] in "+-"]


def test_eks_config_as_in_the_guide() -> None:
    """The two values that the guide tells to change, and nothing else."""
    after = read_config(EKS_CONFIG, "x").edited(IPVS)

    assert changed(EKS_CONFIG, after.text) == [
        '-   scheduler: ""',
        '+   scheduler: "lc"',
        '- mode: "iptables"',
        '+ mode: "ipvs"',
    ]
    assert (after.mode, after.scheduler) == ("ipvs", "lc")


def test_comments_quotes_and_unknown_fields_stay() -> None:
    """Also behind the edited values."""
    after = read_config(KUBEADM_CONFIG, "x").edited(IPVS | {"ipvs.tcpTimeout": "15m", "ipvs.strictARP": True})

    assert '  scheduler: "lc"   # empty is rr' in after.text
    assert "someFutureField: {a: 1, b: [2, 3]}   # kept" in after.text
    assert len(changed(KUBEADM_CONFIG, after.text)) == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, HEAD + 'mode: "ipvs"\nipvs:\n  scheduler: "lc"\n'),
        (HEAD + "ipvs: null\n", HEAD + 'ipvs: {"scheduler": "lc"}\nmode: "ipvs"\n'),
        (HEAD + "ipvs:\nmode:   # none\n", HEAD + 'ipvs: {"scheduler": "lc"}\nmode: "ipvs"   # none\n'),
        (HEAD + "ipvs: {}", HEAD + 'ipvs: {"scheduler": "lc"}\nmode: "ipvs"\n'),
        (
            HEAD + "ipvs: {syncPeriod: 1s}  # c\nmode: |\n  iptables\nx: 1\n",
            HEAD + 'ipvs: {syncPeriod: 1s, "scheduler": "lc"}  # c\nmode: "ipvs"\nx: 1\n',
        ),
        (
            HEAD + "ipvs: {\n  syncPeriod: 1s, # hi\n  minSyncPeriod: 0s # last\n}\nmode: a\n",
            HEAD + 'ipvs: {\n  syncPeriod: 1s, # hi\n  minSyncPeriod: 0s, "scheduler": "lc" # last\n}\nmode: "ipvs"\n',
        ),
        (HEAD + "ipvs: {\n  # none\n}\n", HEAD + 'ipvs: {\n  # none\n"scheduler": "lc"}\nmode: "ipvs"\n'),
        (HEAD + "ipvs: {strictARP: true, }\n", HEAD + 'ipvs: {strictARP: true, "scheduler": "lc", }\nmode: "ipvs"\n'),
        (
            HEAD + "ipvs:\n    syncPeriod: 1s\n    # end\n# last\n",
            HEAD + 'ipvs:\n    syncPeriod: 1s\n    scheduler: "lc"\n    # end\n# last\nmode: "ipvs"\n',
        ),
    ],
)
def test_where_a_field_is_not_there(text: str, expected: str) -> None:
    """It is added in the style of its mapping, whatever that is."""
    after = read_config(text, "x").edited(IPVS).text

    assert after == expected
    assert yaml.safe_load(after) == yaml.safe_load(expected)
    assert [line for line in text.splitlines() if "#" in line and line.strip().startswith("#")] == [
        line for line in after.splitlines() if line.strip().startswith("#")
    ]


def test_windows_line_ends_stay() -> None:
    """Inserted lines end as the others do."""
    text = EKS_CONFIG.replace("\n", "\r\n")

    after = read_config(text, "x").edited(IPVS | {"ipvs.strictARP": True, "nodePortAddresses": ["primary"]}).text

    assert "\n" not in after.replace("\r\n", "")
    assert "  strictARP: true\r\n" in after


def test_an_edit_that_cannot_be_read_is_not_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text was fine; what amigen made of it is not, and nothing is changed."""
    monkeypatch.setattr("amigen.kubeproxy.config._insert", lambda *_: f"{HEAD}a: [")

    with pytest.raises(InputError) as caught:
        read_config(HEAD, "x").edited(IPVS)

    assert "amigen cannot edit this text" in caught.value.message
    assert "repair it" not in caught.value.hint


def test_json_is_edited_too() -> None:
    """A ConfigMap may hold JSON."""
    text = json.dumps({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": ""})

    after = read_config(text, "x").edited(IPVS)

    assert json.loads(after.text) == json.loads(text) | {"mode": "ipvs", "ipvs": {"scheduler": "lc"}}


def test_the_same_value_changes_nothing() -> None:
    """Also in another spelling."""
    text = HEAD + "mode: ipvs\nipvs: {scheduler: 'lc'}\n"

    assert read_config(text, "x").edited(IPVS).text == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty or not a mapping"),
        ("- a\n", "empty or not a mapping"),
        ("a: [\n", "is not valid YAML: did not find expected node content (line 2)"),
        ("a: b: c\n", "mapping values are not allowed in this context (line 1)"),
        ("\tx: 1\n", "the line is indented with a tab (line 1)"),
        ("kind: Pod\n", "not a KubeProxyConfiguration (kind is 'Pod')"),
        ("kind: KubeProxyConfiguration\napiVersion: v2\n", "unsupported apiVersion 'v2'"),
        (HEAD + "ipvs: [rr]\n", "ipvs is not a mapping"),
        (HEAD + "mode: 7\n", "mode is not text"),
        (HEAD + "ipvs: {scheduler: [rr]}\n", "ipvs.scheduler is not text"),
        ("{" + HEAD, "begins with { and is not valid JSON"),
        ("[" * 3000, "nest"),
    ],
)
def test_what_is_no_configuration_is_one_clear_error(text: str, says: str) -> None:
    """With the place, and with the assurance that nothing was changed."""
    with pytest.raises(InputError) as caught:
        read_config(text, "configmap x, key y")

    assert caught.value.message.startswith("configmap x, key y: ")
    assert says in caught.value.message


def test_an_alias_is_not_edited() -> None:
    """The edit would change the other place too."""
    text = HEAD + "iptables: &a\n  syncPeriod: 1s\nipvs: *a\n"

    with pytest.raises(InputError, match="alias"):
        read_config(text, "x").edited(IPVS)


_LINES = st.sampled_from(
    [*KUBEADM_CONFIG.splitlines(), "ipvs:", "ipvs: {}", "ipvs: &a {x: 1}", "mode: *a", "mode: |", "  text", "mode: >-",
     "? a", ": b", "<<: *a", "mode: 'x' # y", "ipvs: {scheduler: rr, }", "  - 1", "mode: ~", "%YAML 1.1", "...", "- x",
     "ipvs: {\n scheduler: rr\n}", "mode: !!str x", "x: 2026-01-01", "1: 2", "mode : a", '"mode": b', "\ufeff"]
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_LINES, max_size=12), st.booleans())
def test_any_text_is_edited_exactly_or_refused(lines: list[str], with_head: bool) -> None:
    """The result has the wanted values and every other one as before; or it is our own error."""
    text = (HEAD if with_head else "") + "\n".join(lines)
    try:
        before = read_config(text, "x")
        after = before.edited(IPVS)
    except InputError:
        return
    assert isinstance(after, ProxyConfig)
    assert (after.mode, after.scheduler) == ("ipvs", "lc")
    rest = {key: value for key, value in before.values.items() if key not in ("mode", "ipvs")}
    assert rest == {key: value for key, value in after.values.items() if key not in ("mode", "ipvs")}
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments == [line for line in after.text.splitlines() if line.startswith("#")]


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_our_own_error(text: str) -> None:
    """Whatever stands in the ConfigMap."""
    for candidate in (text, HEAD + text):
        try:
            read_config(candidate, "x").edited(IPVS)
        except InputError as error:
            assert error.message  # noqa: PT017 - either outcome is right
