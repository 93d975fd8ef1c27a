"""nodeadm itself against `explain`: it accepts a document if and only if explain has no error whose reader it is."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amigen.plan.make import plan_images
from amigen.platforms import PLATFORMS
from amigen.spec.load import load_spec
from amigen.spec.rules.nodeadm import toml
from amigen.userdata import mime, nodeconfig
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from amigen.userdata.mime import Part
from tests.real.build import pinned, program
from tests.specs import EXAMPLES, GOLDEN
from tests.userdata.judges import nodeadm

pytestmark = pytest.mark.slow  # built by `make test`

NODE = b"""---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: blue
    apiServerEndpoint: https://ABC.gr7.eu-west-1.eks.amazonaws.com
    certificateAuthority: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t
    cidr: 10.100.0.0/16
  kubelet:
    config: {maxPods: 110}
    flags: [--v=2]
"""
MORE = b"""apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates: {FastImagePull: true}
  kubelet: {config: {maxPods: 20, evictionHard: {memory.available: 5%}}}
"""
GOOD = (
    b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="BND"\n\n--BND\n'
    b'Content-Type: text/x-shellscript; charset="us-ascii"\n\n#!/bin/bash\necho hello\n\n--BND\n'
    b"Content-Type: application/node.eks.aws\n\n" + NODE + b"\n--BND\n"
    b"Content-Type: application/node.eks.aws\nContent-Transfer-Encoding: 7bit\n\n" + MORE + b"\n--BND--\n"
)
# Pieces that a mutation puts somewhere: what headers, boundaries, line ends and values are made of.
PIECES = tuple(
    piece.encode()
    for piece in (
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "",
        ":",
        ";",
        '"',
        "=",
        "--",
        "--BND",
        "--BND\n",
        "--BND--\n",
        "\n--BND\n",
        "\n\n",
        "-",
        "X",
        "BND",
        'boundary="BND"',
        "; name=a.sh",
        "Content-Type: ",
        "null",
        "true",
        "12",
        "[]",
        "{}",
        "''",
        "~",
        "v1",
        "yes",
        "0x1F",
        "1e3",
        "- a",
        "#",
        "\u00fc",
        "\ufeff",
    )
)
VALUES = (
    b"",
    b" ''",
    b" 12",
    b" true",
    b" yes",
    b" 1e3",
    b" [a]",
    b" {a: b}",
    b" null",
    b" text",
    b" '12'",
    b" YQ==",
    b" 0",
)


def mutated(chance: random.Random) -> bytes:
    """A good document with one to three changes."""
    document = chance.choice((GOOD, GOOD, GOOD.replace(b"\n", b"\r\n"), NODE))
    for _ in range(chance.choice((1, 1, 2, 3))):
        lines = document.split(b"\n")
        at = chance.randrange(len(lines))
        kind = chance.randrange(6)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, chance.choice(lines))
        elif kind == 2:
            lines[at] = lines[at].removesuffix(b"\r") if lines[at].endswith(b"\r") else lines[at] + b"\r"
        elif kind == 3 and b":" in lines[at]:
            lines[at] = lines[at].split(b":", 1)[0] + b":" + chance.choice(VALUES)
        else:
            place = chance.randrange(len(document) + 1)
            end = place + chance.choice((0, 0, 1, 3))
            document = document[:place] + chance.choice(PIECES) + document[end:]
            continue
        document = b"\n".join(lines)
    return document


def encoded(chance: random.Random) -> bytes:
    """A document that is packed as a whole or in a part, and then maybe damaged."""
    document = chance.choice((GOOD, NODE, GOOD.replace(b"\n", b"\r\n"), mutated(chance)))
    base64_of = chance.choice((base64.b64encode, base64.encodebytes))
    kind = chance.choice(("gzip", "base64", "both", "part"))
    if kind == "part":
        body = base64.encodebytes(chance.choice((NODE, gzip.compress(NODE, mtime=0))))
        name = chance.choice((b"base64", b"base64", b"BASE64", b"quoted-printable", b"8bit", b"gzip", b""))
        header = b"Content-Type: application/node.eks.aws\n"
        document = GOOD.replace(header + b"\n" + NODE, header + b"Content-Transfer-Encoding: " + name + b"\n\n" + body)
    else:
        document = document if kind == "base64" else gzip.compress(document, mtime=0)
        document = document if kind == "gzip" else base64_of(document)
    at = chance.randrange(len(document) + 1)
    piece = chance.choice((b"\n", b"=", b" ", b"A", b"-", b"\0", b""))
    return document if chance.random() < 0.6 else document[:at] + piece + document[at + chance.randrange(3) :]


def refused(document: bytes) -> list[str]:
    found = explain(document, "self-managed").problems
    return [p.message for p in found if p.reader == "nodeadm" and p.severity == "error"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [mutated, encoded])
def test_nodeadm_accepts_what_explain_accepts(make: Callable[[random.Random], bytes], seed: int) -> None:
    """Thousands of mutated and encoded documents; each difference is a wrong reading of ours."""
    program("nodeadm", "nodeadm-judge")
    chance = random.Random(seed)
    documents = [make(chance) for _ in range(750)]
    verdicts = nodeadm(documents)
    wrong = [
        (document, verdict.error, refused(document))
        for document, verdict in zip(documents, verdicts, strict=True)
        if bool(verdict.error) != bool(refused(document))
    ]

    assert wrong == []


def test_the_examples_of_nodeadm_itself() -> None:
    """Nothing in its documentation and its own tests is an error for any reader, where nodeadm starts with it."""
    module = "github.com/awslabs/amazon-eks-ami/nodeadm"
    home = os.environ.get("GOMODCACHE") or Path.home() / "go/pkg/mod"
    folder = Path(home) / f"{module}@{pinned('nodeadm', module)}"
    if not folder.is_dir():
        pytest.skip("not proven here: the examples of nodeadm, whose module is not in Go's cache")
    fenced = re.findall(r"```\w*\n(.*?)```", (folder / "doc/examples.md").read_text(), re.DOTALL)
    texts = [*fenced, *(path.read_text() for path in sorted(folder.glob("test/e2e/cases/**/*.yaml")))]
    documents = [text.encode() for text in texts if "kind: NodeConfig" in text]
    assert len(documents) > 40

    accepted = [one for one, verdict in zip(documents, nodeadm(documents), strict=True) if not verdict.error]

    assert len(accepted) > 35
    found = ((one, explain(one, "self-managed").problems) for one in accepted)
    assert [(one, p.message) for one, problems in found for p in problems if p.severity == "error"] == []


def merged(document: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in parse(document).parts:
        if part.type == mime.NODE_CONFIG:
            out = nodeconfig.merge(out, nodeconfig.read(part.content).config)
    spec: dict[str, Any] = out.get("spec", {})
    return spec


CONFIGS = (
    "{kubelet: {config: {maxPods: 1, a: [1, 2], b: {c: 1, d: 2}}, flags: [--v=2]}}",
    "{kubelet: {config: {maxPods: 0, a: [], b: {c: null, e: ''}}, flags: [--v=4]}}",
    "{kubelet: {config: {}, maxPodsExpression: '1'}, featureGates: {FastImagePull: true}}",
    "{kubelet: {maxPodsExpression: ''}, featureGates: {FastImagePull: false, InstanceIdNodeName: true}}",
    "{cluster: {enableOutpost: true, id: x}, instance: {environment: {default: {A: '1', B: '2'}}}}",
    "{cluster: {enableOutpost: false, name: ''}, instance: {environment: {default: {A: ''}}, network: {domains: []}}}",
    "{instance: {localStorage: {strategy: RAID0, disabledMounts: [PodLogs]}, network: {domains: [a], nameservers: [b]}}}",  # noqa: E501
    "{containerd: {config: 'a = 1\n\n  [b]\n\n  c = [1]', baseRuntimeSpec: {x: {y: 1}}}}",
    "{containerd: {config: 'd = 2\n\n  [b]\n\n  c = []', baseRuntimeSpec: {x: {z: 1}}}}",
    "{containerd: {config: ''}}",
)


def test_nodeadm_merges_as_explain_does() -> None:
    """The configuration that nodeadm dumps, of every pair in order, is the one that explain shows."""
    tomllib = pytest.importorskip("tomllib")
    head = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: "
    parts = [Part(type=mime.NODE_CONFIG, content=(head + text + "\n").encode()) for text in CONFIGS]
    first = Part(type=mime.NODE_CONFIG, content=NODE)
    documents = [mime.write((first, a, b)) for a in parts for b in parts]
    for document, verdict in zip(documents, nodeadm(documents), strict=True):
        spec, ours = verdict.config["spec"], merged(document)
        text = spec.get("containerd", {}).get("config")
        if text:
            spec["containerd"]["config"] = tomllib.loads(text)
            ours["containerd"]["config"] = toml(ours["containerd"]["config"])
        assert (verdict.error, without_empty(ours)) == ("", without_empty(json.loads(json.dumps(spec))))


def without_empty(value: Any) -> Any:
    """Typed fields that are empty are not dumped."""
    if isinstance(value, dict):
        return {key: kept for key, child in value.items() if (kept := without_empty(child)) not in ({}, [], "", None)}
    return value


@pytest.mark.parametrize(
    "example", [*EXAMPLES, *sorted(GOLDEN.glob("*/spec.yaml"))], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_nodeadm_takes_what_amigen_writes(example: Path) -> None:
    """Examples and golden cases that join by nodeadm: plain, packed, and merged with a NodeConfig of the user's."""
    spec = load_spec(example)
    plans = [plan for plan in plan_images(spec) if PLATFORMS[plan.platform].joins_by == "nodeadm"]
    merges = (None, MORE, GOOD) if spec.join.eks else (GOOD,)
    verdicts = nodeadm(user_data(plan, merge=merge) for plan in plans for merge in merges)

    assert {verdict.error for verdict in verdicts} <= {""}
