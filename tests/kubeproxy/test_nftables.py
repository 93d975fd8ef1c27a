"""kube-proxy's nftables table against the cluster: every kind of difference, seen once.

The tables are those that the real kube-proxy makes of one cluster, changed by hand (tests/kubeproxy/test_rules.py).
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest

from amigen.base.errors import InputError
from amigen.kubeproxy.node_facts import NodeFacts
from amigen.kubeproxy.status import judge_nft
from amigen.nftables.compare import compare
from amigen.nftables.table import parse
from amigen.services.model import ProxyFeatures, ServicePorts
from amigen.services.objects import read_services
from amigen.services.topology import Where
from tests.ipvs.test_compare import a_balancer, a_service, a_slice
from tests.kubeproxy.test_rules import ask

SERVICES = [
    a_service("kubernetes", "10.96.0.1", 443),
    a_balancer(externalTrafficPolicy="Local", loadBalancerSourceRanges=["10.0.0.0/8"]),
    a_service("sticky", "10.96.0.51", 80, sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}}),  # noqa: E501
    a_service("empty", "10.96.0.52", 80),
]  # fmt: skip
SLICES = [
    a_slice("kubernetes", "default", 6443, "10.0.0.9"),
    a_slice("web", "default", 8080, "10.1.0.3", nodeName="node-a"),
    a_slice("web", "default", 8080, "10.1.0.4", nodeName="node-b"),
    a_slice("sticky", "default", 8080, "10.1.0.5", "10.1.0.6"),
]
WHERE = Where(node="node-a")


def ports() -> ServicePorts:
    return read_services(SERVICES, SLICES, ProxyFeatures())


@pytest.fixture(scope="module")
def real() -> dict[int, str]:
    """The tables of the real kube-proxy."""
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("not proven here: needs root and nft")
    slices = [one | {"metadata": one["metadata"] | {"name": f"s{n}"}} for n, one in enumerate(SLICES)]
    world: dict[str, Any] = {"node": "node-a", "nodeIP": "10.0.0.7", "addresses": ["10.0.0.7"]}
    (found,) = ask("nftables", [world | {"services": SERVICES, "slices": slices}], "unshare", "--net")
    return {4: json.dumps(found["ip"]), 6: json.dumps(found["ip6"])}


def test_the_table_of_a_healthy_node(real: dict[int, str]) -> None:
    """No difference, and what was looked at is counted."""
    found = judge_nft(NodeFacts(nft=(1, 0, 6), nftables=parse(real)), ports(), WHERE)

    assert found.differences == []
    assert "7 of 7 Service addresses are in the nftables table" in found.facts[0]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ('"10.1.0.3"', '"10.1.0.9"', {"missing-server", "stale-server"}),
        ('"10.96.0.1", "tcp", 443', '"10.96.0.1", "tcp", 444', {"missing-service", "stale-service"}),
        ('"timeout": 60', '"timeout": 30', {"affinity"}),
        ('"concat": ["tcp", 30080]', '"concat": ["tcp", 30081]', {"missing-service", "stale-service"}),
        ('"10.96.0.52", "tcp", 80', '"10.96.0.59", "tcp", 80', {"refused", "stale-service"}),
        ('"firewall-ips"', '"other-ips"', {"refused"}),
        ('"cluster-ips"', '"other-ips"', {"missing-address"}),
    ],
)
def test_what_is_broken_is_seen(real: dict[int, str], old: str, new: str, kinds: set[str]) -> None:
    """One thing changed in the real table."""
    assert old in real[4]

    found = compare(parse({**real, 4: real[4].replace(old, new)}), ports(), WHERE)

    assert {one.kind for one in found.differences} == kinds, found.differences


def test_each_rule_and_element_counts(real: dict[int, str]) -> None:
    """A table that lacks the rules of any one chain of a Service differs."""
    objects = json.loads(real[4])["nftables"]
    chains = {one["rule"]["chain"] for one in objects if "rule" in one and "/" in one["rule"]["chain"]}
    for chain in chains:
        if chain.startswith("firewall-"):
            continue
        rest = [one for one in objects if one.get("rule", {}).get("chain") != chain]

        assert compare(parse({**real, 4: json.dumps({"nftables": rest})}), ports(), WHERE).differences, chain


@pytest.mark.parametrize(("nft", "says"), [((), "has no nft"), ((1, 0, 6), "has no nftables table")])
def test_a_node_without_a_table(nft: tuple[int, ...], says: str) -> None:
    """Never taken for a table that is right."""
    (found,) = judge_nft(NodeFacts(nft=nft), ports(), WHERE).differences

    assert says in found.says


def test_text_that_nft_did_not_print() -> None:
    """Text that is not nft's JSON is one clear error."""
    for text in ("nonsense", "{}", '{"nftables": [1]}', '{"nftables": [{"map": {"table": "kube-proxy"}}]}'):
        with pytest.raises(InputError, match="the nftables table kube-proxy cannot be read"):
            parse({4: text})
