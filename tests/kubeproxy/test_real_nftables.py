"""The real kube-proxy in nftables mode on a real API server, and `status` on its node: tests/real/nftables_cell.py.

Everything is real but the node, which is a network namespace of this machine, without pods and kubelet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.control_plane import programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORLDS = 12


def test_status_of_a_node_in_nftables_mode(tmp_path: Path) -> None:
    """No difference on random clusters, with every kind of address among them."""
    programs()
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("not proven here: needs root and nft")
    command = [sys.executable, "-m", "tests.real.nftables_cell", str(tmp_path), str(WORLDS)]
    done = subprocess.run(
        ["unshare", "--net", "--uts", *command], capture_output=True, text=True, check=False, timeout=800
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["worlds"]
    assert [one for one in found if one.get("differences") != []] == []
    facts = "\n".join(fact for one in found for fact in one["facts"])
    for reach in ("ClusterIP", "external IP", "load balancer", "node port"):
        assert f" {reach}" in facts
    assert sum(one["services"] for one in found) > 3 * WORLDS
