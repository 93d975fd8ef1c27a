"""From nodes to types: every kind of problem, with line, column, key path and the way out."""

from __future__ import annotations

import re

import pytest

from amigen.spec.load import check_bytes, parse_spec
from amigen.spec.model import File, Hook, NodeImage
from tests.specs import mapping, problems, spec

HEAD = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: n
kubernetesVersion: "1.34"
platforms: [al2023]
"""


@pytest.mark.parametrize(
    ("lines", "place", "path", "message", "hint"),
    [
        ("kubeproxy: {}", (6, 1), "", "unknown key 'kubeproxy'", "did you mean `kubeProxy`"),
        ("kubeProxy: {ipvs: {sheduler: rr}}", (6, 20), "kubeProxy.ipvs", "unknown key", "`scheduler`"),
        ("zzz: 1", (6, 1), "", "unknown key 'zzz'", "^known: apiVersion"),
        ("kubeProxy: {mode: ipsv}", (6, 19), "kubeProxy.mode", "unknown value 'ipsv'", "did you mean 'ipvs'"),
        ("kubeProxy: {mode: 7}", (6, 19), "kubeProxy.mode", "unknown value '7'", "one of ipvs, nftables"),
        ("kubeProxy: {mode: [ipvs]}", (6, 19), "kubeProxy.mode", "expected text, found a list", "one of"),
        ("kubeProxy: ipvs", (6, 12), "kubeProxy", "expected a mapping, found text", "key: value"),
        ("packages: ipset", (6, 11), "packages", "expected a list.*found text", "write `"),
        ("packages: {name: x}", (6, 11), "packages", "found a mapping", "write `"),
        ("packages:\n  - name: 7", (7, 11), "packages[0].name", "expected text, found a number", 'quotes: "7"'),
        ("packages:\n  - version: '1'", (7, 5), "packages[0]", "`name` is missing", "name of a package"),
        (
            "packages:\n  - name: jq htop",
            (7, 11),
            "packages[0].name",
            "'jq htop': it contains a space",
            "name of a package",
        ),
        ("apiVersion: amigen/v1", (6, 1), "", "duplicate key 'apiVersion'", "remove one"),
        (
            "join: {eks: {name: n, apiServerEndpoint: 'https://a', certificateAuthority: a, serviceCIDR: 10.0.0.0/16}}",
            (6, 77),
            "join.eks.certificateAuthority",
            "is too short: 1 character, at least 4 required",
            "at least 4 characters",
        ),
        ("aws:\n\ttags: {}", (7, 1), "", "the line is indented with a tab; YAML allows only spaces", ""),
        ("packages:\n  - name: -x", (7, 11), "packages[0].name", "invalid value '-x'", "name of a package"),
        ("gate: 'yes'", (6, 7), "gate", "expected true or false, found text", "remove the quotes"),
        ("gate: 1", (6, 7), "gate", "expected true or false, found a number", "true or false"),
        ("local: {cpus: 0}", (6, 15), "local.cpus", "'0' is out of range", "from 1 to 256"),
        ("local: {cpus: 1.5}", (6, 15), "local.cpus", "found a number with a fraction", "whole number"),
        ("local: {cpus: '2'}", (6, 15), "local.cpus", "found text", "remove the quotes"),
        (f"local: {{cpus: {'9' * 5000}}}", (6, 15), "local.cpus", "is out of range", "256"),
        ("files:\n  - {path: a/b, content: x}", (7, 12), "files[0].path", "invalid value 'a/b'", "absolute path"),
        ("files:\n  - {path: /a//b, content: x}", (7, 12), "files[0].path", "invalid value", "absolute"),
        ("files:\n  - {path: /a, content: x, mode: 0644}", (7, 34), "files[0].mode", "found a number", '"0644"'),
        ("files:\n  - {path: /a, content: x, mode: '0888'}", (7, 34), "files[0].mode", "invalid value", "octal"),
        ("files:\n  - {path: /a, content: 2024-01-01, mode: u+x}", (7, 43), "files[0].mode", "invalid value", "octal"),
        ("sysctls: {net.core.somaxconn: true}", (6, 31), "sysctls['net.core.somaxconn']", "found true or", "whole"),
        ("sysctls: {net.core.somaxconn: 99999999999999999999}", (6, 31), "sysctls['net.core.somaxconn']", "range", ""),
        ("sysctls: {nodots: 1}", (6, 11), "sysctls.nodots", "invalid value 'nodots'", "kernel parameter"),
        ('sysctls: {net.x: "a\\nb = c"}', (6, 18), "sysctls['net.x']", "invalid value", "the value"),
        ("architectures: []", (6, 16), "architectures", "is empty", "at least 1"),
        (
            f"modules: {{extra: [{', '.join(['x'] * 65)}]}}",
            (6, 18),
            "modules.extra",
            "is too long: 65 entries",
            "at most 64",
        ),
        ("hooks: {before: [{name: a, script: ''}]}", (6, 36), "hooks.before[0].script", "is empty", "at least 1"),
        ("packageSources: {proxy: 'http://u:p@h:1'}", (6, 25), "packageSources.proxy", "invalid value", "without user"),
        (
            "local:\n  cpus: 1\n  cpus: 2",
            (8, 3),
            "local",
            "duplicate key 'cpus' .first defined on line 7",
            "remove one",
        ),
        ("<<: {gate: true}", (6, 1), "", "merge keys", "repeat the keys"),
        ("? [a]\n: 1", (6, 3), "", "a key is a mapping or a list", "words"),
        ("gate: {a: 1}", (6, 7), "gate", "expected true or false, found a mapping", "true or false"),
        ("name: |\n  n\n", (6, 1), "", "duplicate key 'name' .first defined on line 3", "remove"),
    ],
)
def test_each_problem_has_place_path_and_way_out(
    lines: str, place: tuple[int, int], path: str, message: str, hint: str
) -> None:
    """One wrong line, one problem: line, column, key path, what is wrong, and what is allowed."""
    (problem,) = check_bytes((HEAD + lines + "\n").encode()).problems

    assert place == (problem.line, problem.column)
    assert path == problem.path
    assert re.search(message, problem.message)
    assert re.search(hint, problem.hint)


def test_unquoted_version_is_told_to_be_quoted() -> None:
    """YAML reads 1.30 as the number 1.3; the hint shows the quotes."""
    (problem,) = check_bytes(HEAD.replace('"1.34"', "1.30").encode()).problems

    assert problem.path == "kubernetesVersion"
    assert 'put it in quotes: "1.30"' in problem.hint


def test_all_problems_are_reported_at_once() -> None:
    """Types, unknown keys and rules of the same file, sorted by line."""
    text = HEAD.replace("name: n", "name: N") + "zzz: 1\nlocal: {cpus: x}\nsysctls: {net.ipv4.ip_forward: 1}\n"
    found = check_bytes(text.encode()).problems

    assert [(p.line, p.path) for p in found] == [
        (3, "name"),
        (6, ""),
        (7, "local.cpus"),
        (8, "sysctls['net.ipv4.ip_forward']"),
    ]


def test_missing_keys_are_all_named() -> None:
    """An empty mapping lacks five keys, and each is named with what it takes."""
    found = check_bytes(b"{}").problems

    assert [p.message.split("`")[1] for p in found] == ["apiVersion", "kind", "name", "kubernetesVersion", "platforms"]


@pytest.mark.parametrize("text", ["7", "just text", "[1, 2]", "null", "2024-01-01"])
def test_a_document_that_is_no_mapping(text: str) -> None:
    """Anything else at the top is said to be no mapping."""
    (problem,) = check_bytes(text.encode()).problems

    assert "expected a mapping" in problem.message


@pytest.mark.parametrize("key", ["packages", "sysctls", "kubeProxy", "files", "aws"])
def test_a_key_with_nothing_behind_it_is_empty(key: str) -> None:
    """`packages:` alone means none, as everybody reads it."""
    assert parse_spec(f"{HEAD}{key}:\n") == spec({"name": "n"})


def test_null_means_unset_where_there_is_a_default() -> None:
    """`gate: null` is the same as no gate."""
    assert parse_spec(HEAD + "gate: null\n").gate is None


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("On", True), ("no", False), ("off", False)])
def test_booleans_of_yaml(word: str, value: bool) -> None:
    """All words of YAML 1.1 are read as PyYAML reads them."""
    assert parse_spec(f"{HEAD}gate: {word}\n").gate is value


@pytest.mark.parametrize(("word", "value"), [("0x10", 16), ("1_6", 16), ("0b1000", 8), ("020", 16), ("+16", 16)])
def test_integers_of_yaml(word: str, value: int) -> None:
    """All forms of YAML 1.1 are read as PyYAML reads them."""
    assert parse_spec(f"{HEAD}local: {{cpus: {word}}}\n").local.cpus == value


def test_dates_are_text_where_text_is_wanted() -> None:
    """`content: 2024-01-01` is no date to anybody."""
    assert parse_spec(f"{HEAD}files: [{{path: /a, content: 2024-01-01}}]\n").files[0].content == "2024-01-01"


def test_a_label_value_that_yaml_reads_as_true() -> None:
    """`on` has to be quoted, and the hint says so."""
    (problem,) = check_bytes(
        (HEAD + "aws: {tags: {a: on}}\n").encode(),
    ).problems

    assert 'put it in quotes: "on"' in problem.hint


@pytest.mark.parametrize("value", ["n\n", "x" * 49, "-n", "n-", "N", "", " n", "\uff4e", "n\u2028", "n;id", "$(id)"])
def test_names_hold_nothing_that_could_do_harm(value: str) -> None:
    """The name of an image goes into titles, AMI names and paths."""
    assert [p.path for p in problems({"name": value})] == ["name"]


def test_a_mapping_is_read_as_it_is() -> None:
    """Characters that YAML folds or refuses arrive unchanged from a program's mapping."""
    hostile = "a\x85b\u2028c\u2029d\x7fe\ufefff\x00g\r\nh\U0001f600\ufffe\t"
    found = spec({"files": [{"path": "/etc/x", "content": hostile}]})

    assert found.files == (File(path="/etc/x", content=hostile),)


def test_a_mapping_of_other_values_is_refused() -> None:
    """What is no plain value is no spec."""
    from amigen.base.errors import SpecError

    with pytest.raises(SpecError, match="not a mapping of plain values"):
        parse_spec(mapping({"files": [object()]}))


def test_text_stands_as_it_was_written() -> None:
    """Block scalars keep line ends and characters of every plane."""
    text = HEAD + "hooks:\n  before:\n    - name: a\n      script: |\n        echo 'ä 😀'\n\n        exit 0\n"

    assert parse_spec(text).hooks.before == (Hook(name="a", script="echo 'ä 😀'\n\nexit 0\n"),)


def test_the_smallest_spec_takes_all_defaults() -> None:
    """Five lines are enough."""
    found = parse_spec(HEAD)

    assert isinstance(found, NodeImage)
    assert (found.kube_proxy.mode, found.kube_proxy.ipvs.scheduler, found.architectures) == ("ipvs", "rr", ("x86_64",))
