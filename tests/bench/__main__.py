"""`python -m tests.bench [PART...]`: one table, with the machine and the versions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tests.bench import boot, build, kubeproxy, machine, node, render, userdata, verify
from tests.bench.row import Row

PARTS: Mapping[str, Callable[[], Iterator[Row]]] = MappingProxyType(
    {
        "render": render.rows,
        "user-data": userdata.rows,
        "node": node.rows,
        "kube-proxy": kubeproxy.rows,
        "verify": verify.rows,
        "verify-vm": verify.vm_rows,
        "boot": boot.rows,
        "build": build.rows,
    }
)


def main(parts: list[str]) -> int:
    """Measure and print; the exit code says whether every row is within its limit."""
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print("\n".join(machine.lines()))
    print(f"\n{'what':76} {'median':>10} {'min':>10} {'max':>10} {'runs':>4}  limit")
    missed = 0
    for part in parts or PARTS:
        found = 0
        for row in PARTS[part]():
            print(row.text(), flush=True)
            missed += not row.holds
            found += 1
        if not found:
            print(f"{part}: not measured here; it needs root", flush=True)
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
