"""What ipvs can do: the size of its connection table, and its schedulers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from amigen.checks.model import Check, Level, LoadModules, Step
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class ConnTabCheck(Check, frozen=True, kw_only=True):
    """ip_vs runs with a connection table of 2**bits buckets."""

    test = "test_connection_table"
    place = 20
    level = Level.IPVS
    needs = "kernel"
    bits: int

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        if not isinstance(step, LoadModules) or step.conn_tab_bits is None:
            return ()
        return (cls(bits=step.conn_tab_bits),)

    @property
    def subject(self) -> str:
        return str(2**self.bits)

    @classmethod
    def table(cls, checks: Sequence[Self]) -> tuple[int, ...]:
        return tuple(2**check.bits for check in checks)

    suite = """
# Buckets of the ipvs connection table.
TABLE_SIZES = {table}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("buckets", TABLE_SIZES, ids=str)
def test_connection_table(node, buckets):
    # By the module's parameter: from Linux 7.1 on, /proc/net/ip_vs shows the size that the table has at the moment.
    bits = node.connection_table_bits
    assert bits is not None and 1 << bits == buckets, explain(
        expected=f"ipvs has a connection table of {buckets} buckets",
        found="ip_vs is not loaded" if bits is None else f"{1 << bits} buckets (conn_tab_bits={bits})",
        todo="conn_tab_bits holds from the moment ip_vs is loaded: reboot, and look for other files in modprobe.d",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "connection_table", self.subject

    shell = (
        r"""
connection_table() {
	bits=$(cat /sys/module/ip_vs/parameters/conn_tab_bits 2>/dev/null) || bits=''
	if [ -z "$bits" ]; then
		echo "ipvs should have a connection table of $1 buckets; ip_vs is not loaded"
	elif [ "$((1 << bits))" -ne "$1" ]; then
		echo "ipvs should have a connection table of $1 buckets; it has $((1 << bits)) (conn_tab_bits=$bits)"
	fi
}
""",
    )


class SchedulerCheck(Check, frozen=True, kw_only=True):
    """A virtual service with this scheduler can be made, in a network namespace of its own."""

    test = "test_scheduler"
    # Asking for a scheduler loads its module.
    place = 1000
    level = Level.IPVS
    needs = "kernel"
    asks = "schedulers"
    scheduler: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(scheduler=name) for name in step.schedulers) if isinstance(step, LoadModules) else ()

    suite = """
# Last of all: asking for a scheduler loads its module.
SCHEDULERS = {table}


@pytest.mark.needs_kernel
@pytest.mark.loads_modules
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_scheduler(node, scheduler):
    # Tried in a network namespace of its own, so that the node is not changed.
    done = node.schedulers.get(scheduler)
    assert done is not None and done.code == 0, explain(
        expected=f"ipvs takes a virtual service with the scheduler {scheduler}",
        found=f"ipvsadm ended with {done.code}: {done.stderr.strip()}" if done else "ipvsadm could not be tried",
        todo=f"modprobe ip_vs_{scheduler}; dmesg | tail",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "takes_scheduler", self.scheduler

    shell = (
        r"""
# In a network namespace of its own, so that nothing of it touches the node.
takes_scheduler() {
	said=$(unshare -n ipvsadm -A -t 127.0.0.1:80 -s "$1" 2>&1) || echo "ipvs does not take the scheduler $1: $said"
}
""",
    )
