"""Karpenter itself, and nodeadm and cloud-init behind it, against what `explain --for karpenter` predicts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from amigen.plan.make import plan_images
from amigen.platforms import PLATFORMS
from amigen.spec.load import load_spec
from amigen.userdata import mime, packed
from amigen.userdata.arrival import merged_by_karpenter
from amigen.userdata.document import parse
from amigen.userdata.drop_ins import drop_ins
from amigen.userdata.explain import Explanation, explain
from amigen.userdata.gomime import GoError
from amigen.userdata.make import user_data
from amigen.userdata.systems import SYSTEMS
from tests.real.build import program
from tests.specs import EXAMPLES, GOLDEN
from tests.userdata.conftest import Left
from tests.userdata.judges import Rewritten, karpenter, nodeadm
from tests.userdata.test_explain import CASES
from tests.userdata.test_field_cases import FOLDER
from tests.userdata.test_nodeadm_judges import mutated

pytestmark = pytest.mark.slow  # built by `make test`

SPECS = [*EXAMPLES, *sorted(GOLDEN.glob("*/spec.yaml"))]
# More settings of a NodeClass, each of which Karpenter writes into its NodeConfig.
SETTINGS: dict[str, Any] = {
    "instanceStorePolicy": "RAID0",
    "kubelet": {
        "maxPods": 42, "podsPerCore": 3, "clusterDNS": ["10.0.0.1"], "systemReserved": {"cpu": "1"},
        "kubeReserved": {"cpu": "1"}, "evictionHard": {"memory.available": "5%"},
        "evictionSoft": {"pid.available": "5%"},
        "evictionSoftGracePeriod": {"pid.available": "1m"}, "evictionMaxPodGracePeriod": 3, "cpuCFSQuota": True,
        "imageGCHighThresholdPercent": 80, "imageGCLowThresholdPercent": 70,
    },
}  # fmt: skip


@cache
def documents() -> dict[str, bytes]:
    """Everything that is at hand, by name: documents of others, and amigen's own of every example and golden."""
    found = {f"case {name}": document for name, (document, _) in CASES.items()}
    found |= {f"field {file.name}": file.read_bytes() for file in FOLDER.iterdir()}
    for path in SPECS:
        for plan in plan_images(load_spec(path)):
            if PLATFORMS[plan.platform].joins_by == "nodeadm":
                found[f"{path.parent.name}/{path.stem} {plan.platform}"] = user_data(plan, format_="mime")
    return found


@cache
def many() -> dict[str, bytes]:
    """And thousands of mutated ones.

    After a byte order mark inside of a NodeConfig Go loses lines, and sometimes refuses: an error for `explain` always.
    """
    program("karpenter", "karpenter-judge")
    chance = random.Random(13)
    found = {f"mutated {number}": mutated(chance) for number in range(2000)}
    return documents() | {name: document for name, document in found.items() if b"\n\xef\xbb\xbf" not in document}


class Judged(NamedTuple):
    """A document, what Karpenter made of it, and the errors of `explain` by the program that refuses."""

    name: str
    document: bytes
    made: Rewritten
    refused: dict[str, list[str]]


@cache
def judged() -> list[Judged]:
    found = []
    for (name, document), made in zip(many().items(), karpenter(many().values()), strict=True):
        refused: dict[str, list[str]] = {}
        for p in explain(document, "karpenter").problems:
            # What Karpenter takes for something else is an error, and no refusal.
            if p.severity == "error" and p.rule != "retyped":
                refused.setdefault(p.reader, []).append(p.message)
        found.append(Judged(name, document, made, refused))
    return found


def test_karpenter_refuses_what_explain_says() -> None:
    wrong = [
        (row.name, row.made.error, row.refused)
        for row in judged()
        if bool(row.made.error) != bool(row.refused.get("karpenter"))
    ]

    assert wrong == []


def test_karpenter_writes_the_bytes_that_amigen_predicts() -> None:
    """All but the NodeConfig that it generates."""
    wrong = []
    for row in judged():
        try:
            predicted = merged_by_karpenter(row.document)
        except GoError:
            predicted = b""
        theirs, ours = (
            text.rpartition(b"# Karpenter Generated NodeConfig\n")[0] for text in (row.made.document, predicted)
        )
        if ours != theirs and "UTF-8" not in row.made.error:
            wrong.append((row.name, theirs, ours))

    assert wrong == []


def test_nodeadm_takes_what_explain_says() -> None:
    """What Karpenter makes of a document, in the eyes of nodeadm."""
    rows = [row for row in judged() if not row.made.error]
    wrong = [
        (row.name, verdict.error, row.refused)
        for row, verdict in zip(rows, nodeadm(row.made.document for row in rows), strict=True)
        if bool(verdict.error) != bool(row.refused.get("nodeadm"))
    ]

    # libyaml refuses `[a:]`, which Go's YAML reads as a list of one text.
    assert [found for found in wrong if "found unexpected ':'" not in str(found)] == []


def sound(found: Explanation) -> bool:
    return not any(p.severity == "error" for p in found.problems)


def flat(value: Any, path: str = "spec") -> dict[str, Any]:
    """Leaves by path, as `explain` names them; texts of typed fields that are empty do not count."""
    if isinstance(value, dict) and path != "spec.containerd.config":
        return {name: leaf for key, child in value.items() for name, leaf in flat(child, f"{path}.{key}").items()}
    return {path: value}


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["no settings", "all settings"])
def test_the_winners_are_those_of_nodeadm(settings: dict[str, Any]) -> None:
    """Each field of the configuration that nodeadm computes behind Karpenter, and who wins it."""
    names = [name for name, document in documents().items() if sound(explain(document, "karpenter"))]
    (alone,) = nodeadm(out.document for out in karpenter([b""], settings))
    own = flat(alone.config["spec"])
    assert len(names) > 25
    for name, made in zip(names, karpenter([documents()[name] for name in names], settings), strict=True):
        found = explain(documents()[name], "karpenter")
        written = {d.name: (d.content or b"").decode() for d in drop_ins(parse(documents()[name]).parts)}
        (verdict,) = nodeadm([made.document], written)
        fields = {field.path: field for field in found.fields}
        depends = {path for path in own if any(f"{path}.".startswith(f"{key}.") for key in found.about.depends)}
        assert set(flat(verdict.config["spec"])) - set(fields) == (depends - set(fields) if settings else set()), name
        for path, value in flat(verdict.config["spec"]).items():
            if path in depends or fields[path].winner == "karpenter":
                assert value == own[path], (name, path)
            elif fields[path].winner.startswith("all of them"):
                assert set(own.get(path, ())) <= set(value), (name, path)
            else:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                assert fields[path].value == (text if len(text) <= 60 else f"{text[:57]}..."), (name, path)


def test_what_depends_on_the_node_class_is_complete() -> None:
    """Everything that the settings change is named as such, and the rest is what Karpenter always sets."""
    configs = [nodeadm([karpenter([b""], settings)[0].document])[0].config["spec"] for settings in ({}, SETTINGS)]
    always, more = (set(flat(config)) for config in configs)
    about = SYSTEMS["karpenter"]

    assert {
        path for path in more - always if not any(f"{path}.".startswith(f"{key}.") for key in about.depends)
    } == set()
    assert always == set(about.fields)
    assert len(about.depends) == len(SETTINGS["kubelet"]) - 2 + 1


def test_the_scripts_are_those_of_cloud_init(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Names, order and content, behind Karpenter."""
    names = [name for name, document in documents().items() if sound(explain(document, "karpenter"))]
    # cloud-init would ask the Internet, and renders the template.
    names = [name for name in names if name not in ("field include.mime", "field jinja_early.mime")]
    for name, made in zip(names, karpenter(documents()[name] for name in names), strict=True):
        left = cloud_init_leaves(made.document)
        found = explain(documents()[name], "karpenter")
        parts = parse(documents()[name]).parts
        wanted = [(p.filename, parts[p.number - 1].content) for p in found.parts if p.type == mime.SHELL]
        seen = [(file, packed.unpack(content) or content) for file, content in left.scripts]

        assert (left.error, [(file, text.rstrip()) for file, text in seen]) == (
            "",
            [(file, packed.unix_lines(text).rstrip()) for file, text in wanted],
        ), name


def test_custom_passes_the_bytes_on() -> None:
    """The family for Ubuntu."""
    wanted = [document for document in documents().values() if document.isascii()]
    made = karpenter(wanted, {"amiFamily": "Custom"})

    assert [out.document for out in made] == wanted
