"""The comparison of a node's IPVS table with a large cluster, without the requests to the API server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.bench.row import Row

_RUNS = 3
_MEASURE = """\
import resource, sys, time
from tests.ipvs.test_size import a_cluster, judge
world = a_cluster(int(sys.argv[1]), int(sys.argv[2]))
begun = time.process_time()
judge(*world)
print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def rows() -> Iterator[Row]:
    """Processor seconds and memory; four times the cluster takes about four times as long."""
    for services, endpoints, limit in ((3_000, 25_000, None), (12_000, 100_000, 10.0)):
        found = [_measure(services, endpoints) for _ in range(_RUNS)]
        what = f"kube-proxy status: {services:,} Services, {endpoints:,} endpoints"
        yield Row(what=what, values=tuple(seconds for seconds, _ in found), unit="s", at_most=limit)
    memory = tuple(mebibytes for _, mebibytes in found)
    yield Row(what=f"{what}, memory with the objects themselves", values=memory, unit="MB", at_most=1000)


def _measure(services: int, endpoints: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(services), str(endpoints)], capture_output=True, text=True, check=True
    )
    seconds, mebibytes = map(float, done.stdout.split())
    return seconds, mebibytes
