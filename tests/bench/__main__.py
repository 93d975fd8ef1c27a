"""`python -m tests.bench`: one table, with the machine and the versions."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

from tests.bench import render, userdata
from tests.bench.row import Row

SUITES: tuple[Callable[[], Iterator[Row]], ...] = (render.rows, userdata.rows)


def main() -> int:
    """Measure and print; the exit code says whether every row is within its limit."""
    print(
        f"machine: {os.cpu_count()} cpus, {platform.machine()}, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )
    print(
        "versions: "
        + ", ".join(f"{name} {version(name)}" for name in ("amigen", "jinja2", "pyyaml", "click", "msgspec"))
    )
    print(f"\n{'what':66} {'median':>10} {'min':>10} {'max':>10}  limit")
    missed = 0
    for suite in SUITES:
        for row in suite():
            print(row.text(), flush=True)
            missed += not row.holds
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
