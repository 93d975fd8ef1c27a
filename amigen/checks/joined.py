"""The node has joined its cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from amigen.base.quoting import py_block
from amigen.checks.model import Check, JoinCluster, Level, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class JoinedCheck(Check, frozen=True, kw_only=True):
    """A kubelet runs on this node; provable only on a node of the cluster.

    Attributes:
        units: The units that start it.
    """

    test = "test_joined"
    place = 170
    level = Level.NODE
    needs = "cluster"
    subject = "kubelet"
    units: tuple[str, ...] = ("kubelet.service",)

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(units=platform.kubelet_units),) if isinstance(step, JoinCluster) else ()

    @property
    def kubelets(self) -> tuple[str, ...]:
        """Those of the units that are the kubelet itself."""
        return tuple(unit for unit in self.units if "kubelet" in unit)

    @property
    def wanted(self) -> Wanted:
        return Wanted(units=self.units)

    suite = """
# What runs kubelet here.
KUBELET_UNITS = {units}


@pytest.mark.needs_cluster(*KUBELET_UNITS)
@pytest.mark.parametrize("program", {table})
def test_joined(node, program):
    states = {unit: node.active.get(unit, "unknown") for unit in KUBELET_UNITS}
    assert "active" in states.values(), explain(
        expected=f"{program} runs on this node",
        found=", ".join(f"{unit}: {state}" for unit, state in states.items()),
        todo="journalctl -b -u amigen-ready -u cloud-final -u " + KUBELET_UNITS[0],
    )
"""

    @classmethod
    def suite_text(cls, checks: Sequence[Self]) -> str:
        return super().suite_text(checks).replace("{units}", py_block(checks[0].kubelets), 1)

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "joined", *self.kubelets

    shell = (
        r"""
joined() {
	for unit in "$@"; do
		if [ "$(systemctl is-active "$unit" 2>/dev/null)" = active ]; then return; fi
	done
	echo "no kubelet runs here; see journalctl -b -u amigen-ready -u $1"
}
""",
    )
