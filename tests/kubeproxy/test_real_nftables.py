"""The real kube-proxy in nftables mode on a real API server: tests/real/nftables_cell.py and moves_cell.py.

Everything is real but the node, which is a network namespace of this machine, without pods and kubelet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amigen.kubeproxy.plan import disruption
from amigen.kubeproxy.versions import unset_mode
from tests.real.control_plane import KUBERNETES, programs
from tests.real.moves_cell import HELD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORLDS = 12


def cell(name: str, *arguments: str) -> Any:
    """What a program of tests/real prints, run in namespaces of its own."""
    programs()
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("not proven here: needs root and nft")
    command = ["unshare", "--net", "--uts", "--mount", sys.executable, "-m", f"tests.real.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_status_of_a_node_in_nftables_mode(tmp_path: Path) -> None:
    """No difference on random clusters, with every kind of address among them."""
    found = cell("nftables_cell", str(tmp_path), str(WORLDS))["worlds"]

    assert [one for one in found if one.get("differences") != []] == []
    facts = "\n".join(fact for one in found for fact in one["facts"])
    for reach in ("ClusterIP", "external IP", "load balancer", "node port"):
        assert f" {reach}" in facts
    assert sum(one["services"] for one in found) > 3 * WORLDS


def test_moves_between_iptables_and_nftables(tmp_path: Path) -> None:
    """As a plan says: connections of pods, of the node, and to a node port go on; an unset mode is warned of."""
    found = cell("moves_cell", str(tmp_path))

    assert found["unset"] == {version: bool(unset_mode("", version)) for version in found["unset"]}
    assert KUBERNETES in found["unset"]
    for move in found["moves"]:
        then = move.pop("then")
        now = {"nftables": "iptables", "iptables": "nftables"}[then]
        assert "connections to Services go on" in "".join(disruption(now, then))
        assert {name: one["alive"] for name, one in move.items()} == dict.fromkeys(move, HELD)
        assert len(move) == 3
