"""A large cluster: the work grows with its size, and no faster. The time is in the bench."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any

from amigen.ipvs.compare import compare
from amigen.ipvs.expected import expected
from amigen.ipvs.parse import parse
from amigen.services.model import ProxyFeatures
from amigen.services.objects import read_services
from amigen.services.topology import Where


def a_cluster(services: int, endpoints: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Services with endpoints shared out among them (the first has a fifth of all), and the table of a node."""
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    objects, slices = [], []
    lines = ["IP Virtual Server version 1.2.1 (size=4096)"]
    shares = [endpoints // 5] + [endpoints * 4 // 5 // (services - 1)] * (services - 1)
    number = 0
    for one, share in enumerate(shares):
        ip = f"10.{96 + one // 65536}.{one // 256 % 256}.{one % 256}"
        name = "kubernetes" if not one else f"s{one}"
        meta = {"name": name, "namespace": "default"}
        spec: dict[str, Any] = {"clusterIP": ip, "ports": [dict(ports[0])]}
        if one % 3 == 0:
            spec |= {"type": "NodePort"}
            spec["ports"][0]["nodePort"] = 30000 + one
        objects.append({"metadata": meta, "spec": spec})
        ends = []
        lines.append(f"TCP  {ip}:80 rr")
        for _ in range(share):
            address = f"100.{64 + number // 65536}.{number // 256 % 256}.{number % 256}"
            number += 1
            ends.append({"addresses": [address], "conditions": {"ready": True}, "nodeName": f"n{number % 50}"})
            lines.append(f"  -> {address}:8080 Masq 1 0 0")
        for start in range(0, len(ends), 100):
            labels = {"kubernetes.io/service-name": name}
            slices.append(
                {
                    "metadata": {"namespace": "default", "name": f"{name}-{start}", "labels": labels},
                    "addressType": "IPv4",
                    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                    "endpoints": ends[start : start + 100],
                }
            )
    return objects, slices, "\n".join(lines)


def judge(objects: list[dict[str, Any]], slices: list[dict[str, Any]], listing: str) -> int:
    """How many differences a whole look finds."""
    own = frozenset(map(ip_address, ("127.0.0.1", "10.0.0.7")))
    ports = read_services(objects, slices, ProxyFeatures())
    wanted = expected(ports, Where(node="n1"), own)
    return len(compare(parse(listing), wanted, scheduler="rr", bound=wanted.addresses).differences)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python ran."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_twice_the_cluster_is_twice_the_work() -> None:
    """Of Services, of endpoints, and of the differences when nothing fits."""
    small, large = a_cluster(100, 2000), a_cluster(200, 4000)
    healthy = [lines_run(partial(judge, *one)) for one in (small, large)]
    broken = [lines_run(partial(judge, *one[:2], one[2].replace("100.", "9."))) for one in (small, large)]

    assert healthy[1] < 2.3 * healthy[0]
    assert broken[1] < 2.3 * broken[0]


def test_one_large_service() -> None:
    """5,000 endpoints of one Service, all of them gone from the table and others in their place."""
    small, large = a_cluster(2, 1000), a_cluster(2, 5000)
    counts = [lines_run(partial(judge, *one[:2], one[2].replace("100.", "9."))) for one in (small, large)]

    assert counts[1] < 5.5 * counts[0]
