"""`python -m tests.bench [PART...]`: one table, with the machine and the versions."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from types import MappingProxyType

import amigen
from tests.bench import build, node, render, userdata, verify
from tests.bench.row import Row

PARTS: Mapping[str, Callable[[], Iterator[Row]]] = MappingProxyType(
    {
        "render": render.rows,
        "user-data": userdata.rows,
        "node": node.rows,
        "verify": verify.rows,
        "verify-vm": verify.vm_rows,
        "build": build.rows,
    }
)
_LIBRARIES = ("jinja2", "pyyaml", "click", "msgspec", "pytest-testinfra")


def main(parts: list[str]) -> int:
    """Measure and print; the exit code says whether every row is within its limit."""
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    cpus, python = os.cpu_count(), platform.python_version()
    print(f"machine: {cpus} cpus, {platform.machine()}, Linux {platform.release()}, Python {python}")
    print(f"load: {os.getloadavg()[0]:.1f} before the first row")
    print(f"versions: amigen {amigen.__version__}, " + ", ".join(f"{name} {version(name)}" for name in _LIBRARIES))
    print(f"\n{'what':76} {'median':>10} {'min':>10} {'max':>10}  limit")
    missed = 0
    for part in parts or PARTS:
        for row in PARTS[part]():
            print(row.text(), flush=True)
            missed += not row.holds
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
