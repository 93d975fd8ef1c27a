"""What amigen expects on a node, and what kube-proxy's own code programs there: the same, in both directions.

The judge is the real proxier of Kubernetes 1.37 (tests/real/tools/kube-proxy-rules). For ipvs the kernel is the
stand-in of kube-proxy's unit tests; tests/kubeproxy/test_real_node.py has the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from amigen.ipvs.compare import compare
from amigen.ipvs.expected import expected
from amigen.ipvs.model import Place, RealServer, Table, VirtualService
from amigen.nftables.compare import compare as compare_nft
from amigen.nftables.compare import expected as expected_nft
from amigen.nftables.table import parse as parse_nft
from tests.kubeproxy.worlds import a_world, read
from tests.real.build import program

pytestmark = pytest.mark.slow  # kube-proxy's code is built by `make proofs`

TOOL = "kube-proxy-rules"
# More of them: AMIGEN_WORLDS=20000 pytest tests/kubeproxy/test_rules.py
WORLDS = int(os.environ.get("AMIGEN_WORLDS") or 500)
_PERSISTENT = 1  # FlagPersistent in pkg/proxy/ipvs/util/ipvs.go


def ask(kind: str, questions: list[Any], *before: str) -> list[Any]:
    """The judge's answer to each."""
    judge = program(TOOL, f"{TOOL}-judge")
    done = subprocess.run(
        [*before, str(judge), kind],
        input="\n".join(map(json.dumps, questions)) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _table(found: dict[str, Any]) -> Table:
    services = []
    for one in found["Services"]:
        place = Place(address=ip_address(one["Address"]), port=one["Port"])
        servers = tuple(
            RealServer(
                place=Place(address=ip_address(server["Address"]), port=server["Port"]),
                forward="Masq",
                weight=server["Weight"],
            )
            for server in one["Servers"]
        )
        services.append(
            VirtualService(
                protocol=one["Protocol"],
                place=place,
                scheduler=one["Scheduler"],
                persistent=one["Timeout"] if one["Flags"] & _PERSISTENT else None,
                servers=servers,
            )
        )
    return Table(services=tuple(services))


def test_ipvs_rules_of_random_clusters() -> None:
    """Every virtual service, every server, every bound address."""
    worlds = [a_world(seed) for seed in range(WORLDS)]
    seen = {"services": 0, "servers": 0}

    for world, found in zip(worlds, ask("ipvs", worlds), strict=True):
        ports, where, own = read(world)
        networks = tuple(ip_network(one) for one in world["nodePortAddresses"])
        wanted = expected(ports, where, own, networks)
        table = _table(found)
        bound = frozenset(map(ip_address, found["Bound"] or ()))
        differences = [
            one
            for one in compare(table, wanted, scheduler=world["scheduler"] or "rr", bound=bound).differences
            if one.kind not in ("api-service", "dns-service")
        ]

        assert not differences, (differences, json.dumps(world))
        assert {one.key for one in table.services} == {one.key for one in wanted.services}, json.dumps(world)
        assert bound == wanted.addresses, json.dumps(world)
        seen["services"] += len(table.services)
        seen["servers"] += sum(len(one.servers) for one in table.services)
    assert seen["services"] > 10 * WORLDS
    assert seen["servers"] > 5 * WORLDS


@pytest.mark.parametrize("scheduler", ["mh", "fo", "rr", ""])
def test_kube_proxy_accepts_every_scheduler(scheduler: str) -> None:
    """Its validation no longer has a list: the kernel decides, when kube-proxy adds a virtual service at its start."""
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
    (answer,) = ask("config", [f"{head}ipvs: {{scheduler: '{scheduler}'}}\n"])

    assert answer["scheduler"] == scheduler
    assert "invalid" not in answer


def test_nftables_rules_of_random_clusters() -> None:
    """Every element, every chain, as the real nft of a network namespace prints the table."""
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("not proven here: needs root and nft")
    worlds = [a_world(seed) for seed in range(max(20, WORLDS // 5))]
    seen = 0

    for world, found in zip(worlds, ask("nftables", worlds, "unshare", "--net"), strict=True):
        ports, where, _ = read(world)
        table = parse_nft({4: json.dumps(found["ip"]), 6: json.dumps(found["ip6"])})
        result = compare_nft(table, ports, where)

        assert not result.differences, (result.differences, json.dumps(world))
        wanted = expected_nft(ports, where, frozenset((4, 6)))
        served = {key: one.targets for key, one in wanted.items() if one.targets is not None}
        assert table.services.keys() == served.keys(), json.dumps(world)
        seen += sum(map(len, served.values()))
    assert seen > 5 * len(worlds)
