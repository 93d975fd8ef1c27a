"""User data documents in one process, through the library."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

from msgspec.structs import replace

from amigen import NodeImage, load_spec, plan_image, user_data
from tests.bench.row import Row, ratios


def rows() -> Iterator[Row]:
    """Documents per second, growth from 1,000 to 10,000 of them, and memory."""
    # The second is too large to be plain: its script is packed.
    for name in ("minimal", "eks-al2023-ipvs"):
        spec = load_spec(f"examples/{name}.yaml")
        _seconds(spec, 200)
        rates = tuple(1000 / _seconds(spec, 1000) for _ in range(5))
        yield Row(what=f"user data documents a second, {name}", values=rates, unit="/s", at_least=500)
    spec = load_spec("examples/minimal.yaml")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    growth = ratios(lambda: _seconds(spec, 10_000) / 10_000, lambda: _seconds(spec, 1000) / 1000, runs=3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield Row(what="time per document, 10,000 of them / 1,000 of them", values=growth, at_most=1.3)
    yield Row(what="memory that 10,000 documents add", values=(grown,), unit=" MiB", at_most=5)


def _seconds(spec: NodeImage, count: int) -> float:
    """Each document is of another spec, from the spec to its bytes."""
    started = time.perf_counter()
    for number in range(count):
        image = replace(spec, name=f"node-{number}")
        user_data(plan_image(image, image.platforms[0]))
    return time.perf_counter() - started
