"""The NodeConfig of a spec, as the real nodeadm reads it.

`nodeadm config check` decodes and validates, `nodeadm config dump` says what it read. Neither starts a kubelet: what
that makes of its configuration and flags is judged by its own Go types (`tools/kubelet-api`), not here.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from amigen.scripts.join import node_config
from amigen.spec.load import check_bytes, load_spec, parse_spec
from amigen.spec.model import Eks
from amigen.userdata.own import node_config_document
from tests.real.build import program
from tests.spec.test_rules import CASES, eks
from tests.specs import EXAMPLES, GOLDEN, joins, mapping

pytestmark = pytest.mark.slow  # nodeadm is built by `make test`

SPECS = [*EXAMPLES, GOLDEN / "kitchen-sink" / "spec.yaml"]
# What the rules let pass, for the platform that nodeadm joins.
PASSES = [
    document
    for *_, passes in CASES
    if (document := mapping(*passes)).get("join", {}).get("eks") and document["platforms"] == ["al2023"]
]


def nodeadm(command: str, content: bytes, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    file = folder / "node-config.yaml"
    file.write_bytes(content)
    return subprocess.run(
        [str(program("nodeadm")), "config", command, "--config-source", f"file://{file}", *more],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def read_by_nodeadm(content: bytes, folder: Path) -> dict[str, Any]:
    """The spec of the NodeConfig, as nodeadm resolves it."""
    done = nodeadm("dump", content, folder, "--config-output", str(folder / "out.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())["spec"]
    return found


def without_empty(value: Any) -> Any:
    """Go writes empty structs of fields that are not set."""
    if isinstance(value, dict):
        kept = {key: without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner != {}}
    return value


def accepted(joined: Eks, folder: Path) -> None:
    """nodeadm takes it, and reads what was meant: the same values, of the same types."""
    content = node_config_document(joined)
    checked = nodeadm("check", content, folder)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert without_empty(read_by_nodeadm(content, folder)) == without_empty(node_config(joined)["spec"])


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parent.name + "-" + path.stem)
def test_nodeadm_reads_the_examples(path: Path, tmp_path: Path) -> None:
    """Those that join, and the spec that uses every field."""
    joined = load_spec(path).join.eks
    if joined:
        accepted(joined, tmp_path)


def test_nodeadm_reads_what_the_rules_let_pass(tmp_path: Path) -> None:
    """All of it, one by one."""
    program("nodeadm")
    assert len(PASSES) > 30
    for document in PASSES:
        joined = parse_spec(document).join.eks
        assert joined
        accepted(joined, tmp_path)


TEXTS = (
    *(
        "1e3",
        "0x1f",
        "0o17",
        "0b1",
        "017",
        "1_000",
        ".5",
        "1.",
        "-1",
        "+1",
        "1e+3",
        ".inf",
        ".nan",
        "1:30",
        "2026-01-02",
    ),
    *("y", "N", "yes", "No", "on", "OFF", "true", "null", "~", "=", "<<", "%", ""),
)


def test_every_text_arrives_as_text(tmp_path: Path) -> None:
    """Whatever YAML 1.1, YAML 1.2 or Go's reader would take for a number, a boolean, a date or nothing."""
    texts = [*TEXTS, "a: b", "- a", "# a", "'", "a\\n", "{}", "[]", "*a", "&a", "!a", "|", ">", "@", "`", " a ", "ä😀"]
    variables = {f"V{number}": text for number, text in enumerate(texts)}
    change = eks(instance={"environment": {"kubelet": variables}}, name="0x10")
    joined = parse_spec(mapping(change)).join.eks
    assert joined

    accepted(joined, tmp_path)


def test_a_text_of_several_lines_arrives_to_the_byte(tmp_path: Path) -> None:
    """TOML, with and without a line end, with trailing blanks and tabs."""
    for text in ("a = 1\n[b]\nc = 'd'\n", "a = 1\nb = 2", "a = 1 \n\n\tb = 2\n\n", "x = '''\n  y\n'''\n"):
        joined = parse_spec(mapping(eks(containerd={"config": text}))).join.eks
        assert joined
        accepted(joined, tmp_path)
        assert yaml.safe_load(node_config_document(joined))["spec"]["containerd"]["config"] == text


# A change that our check refuses, and words of nodeadm's own refusal.
REFUSED = [
    (eks(enableOutpost=True), "cluster ID must be provided"),
    (eks(certificateAuthority="QUJDR"), "illegal base64"),
    (eks(instance={"environment": {"kubelet": {"A": 1}}}), "cannot unmarshal number"),
    (eks(featureGates={"FastImagePull": "yes"}), "cannot unmarshal string"),
    (joins(flags="--v=2"), "cannot unmarshal string"),
    (joins(config=["maxPods"]), "cannot unmarshal array"),
    (eks(instance={"localStorage": {"disabledMounts": "PodLogs", "strategy": "RAID0"}}), "cannot unmarshal string"),
    (eks(containerd={"config": {"version": 2}}), "cannot unmarshal object"),
    (eks(name=""), "Name is missing"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_both_refuse_what_is_wrong(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    """The same value in a spec and in a NodeConfig: an error here before the node says it."""
    document = mapping(change)
    given = document["join"]["eks"]
    names = {"name": "name", "apiServerEndpoint": "apiServerEndpoint", "certificateAuthority": "certificateAuthority"}
    cluster = {key: given[key] for key in names} | {"cidr": given["serviceCIDR"]}
    cluster |= {key: given[key] for key in ("enableOutpost", "id") if key in given}
    rest = {key: given[key] for key in ("kubelet", "containerd", "instance", "featureGates") if key in given}
    written = {"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": {"cluster": cluster, **rest}}
    done = nodeadm("check", yaml.safe_dump(written).encode(), tmp_path)

    assert check_bytes(yaml.safe_dump(document).encode()).errors
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
