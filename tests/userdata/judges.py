"""Real programs as judges of user data, each asked many times in one process."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.real.build import program


class Verdict(NamedTuple):
    """What `nodeadm config check` says (empty: valid), and what `nodeadm config dump` prints."""

    error: str
    config: dict[str, Any]


class Rewritten(NamedTuple):
    """What a node system makes of user data: its error, or the bytes that the node gets."""

    error: str
    document: bytes


def nodeadm(documents: Iterable[bytes], drop_ins: dict[str, str] | None = None) -> list[Verdict]:
    """The verdict on each document, or the test is skipped where nodeadm is not built."""
    asked = ({"userData": _text(document), "dropIns": drop_ins or {}} for document in documents)
    return [Verdict(answer["error"], answer.get("config") or {}) for answer in _ask("nodeadm", asked)]


def karpenter(documents: Iterable[bytes], node_class: dict[str, Any] | None = None) -> list[Rewritten]:
    """What Karpenter launches nodes with, or the test is skipped where it is not built.

    Args:
        documents: The `userData` of an EC2NodeClass.
        node_class: More of its `spec`.
    """
    spec = {"amiFamily": "AL2023", **(node_class or {})}
    return _rewritten("karpenter", ({"userData": _text(document), "nodeClass": spec} for document in documents))


def eksctl(groups: Iterable[dict[str, Any]]) -> list[Rewritten]:
    """The user data of each node group, or the test is skipped where eksctl is not built.

    Args:
        groups: Members of `nodeGroups` of a ClusterConfig, or of `managedNodeGroups` where they have `managed: true`.
    """
    asked = []
    for group in groups:
        key = "managedNodeGroups" if group.get("managed") else "nodeGroups"
        row = {"name": "nodes", **{name: value for name, value in group.items() if name != "managed"}}
        asked.append({"cluster": {"metadata": {"name": "eksctls", "region": "eu-west-1"}, key: [row]}})
    return _rewritten("eksctl", asked)


def _rewritten(tool: str, questions: Iterable[dict[str, Any]]) -> list[Rewritten]:
    return [Rewritten(said["error"], base64.b64decode(said.get("userData", ""))) for said in _ask(tool, questions)]


def _ask(tool: str, questions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    judge = program(tool, f"{tool}-judge")
    asked = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([judge], input=asked.encode(), capture_output=True, timeout=600, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _text(document: bytes) -> str:
    return base64.b64encode(document).decode()
