"""systemd units."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import GATE_UNIT, Check, InstallGate, Level, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage

_UNIT_IS = r"""
unit_is() {
	said=$(systemctl "is-$1" "$2" 2>&1) || true
	[ "$said" = "$1" ] || echo "$2 should be $1; it is ${said:-unknown to systemctl}"
}
"""


class UnitEnabledCheck(Check, frozen=True, kw_only=True):
    """A systemd unit is started at boot."""

    test = "test_unit_enabled"
    place = 120
    level = Level.BOOT_CONFIGURATION
    asks = "units"
    unit: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(unit=step.unit),) if isinstance(step, InstallGate) else ()

    suite = """
UNITS_ENABLED = {table}


@pytest.mark.parametrize("unit", UNITS_ENABLED)
def test_unit_enabled(node, unit):
    state = node.enabled[unit]
    assert state == "enabled", explain(
        expected=f"{unit} is started at boot",
        found=state,
        todo=f"systemctl {'unmask' if state.startswith('masked') else 'enable'} {unit}",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "unit_is", "enabled", self.unit

    shell = (_UNIT_IS,)


class UnitActiveCheck(Check, frozen=True, kw_only=True):
    """A systemd unit is active now."""

    test = "test_unit_active"
    place = 130
    level = Level.GATE
    needs = "boot"
    asks = "units"
    unit: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(unit=step.unit),) if isinstance(step, InstallGate) else ()

    suite = """
UNITS_ACTIVE = {table}


@pytest.mark.needs_boot
@pytest.mark.parametrize("unit", UNITS_ACTIVE)
def test_unit_active(node, unit):
    state = node.active.get(unit, "systemctl does not answer")
    if unit in JUDGE_THE_KERNEL and state != "active" and node.surroundings.container:
        not_provable(f"{unit} judges the kernel, which a container borrows from its host")
    assert state == "active", explain(
        expected=f"{unit} is active",
        found=state,
        todo=f"systemctl status {unit}; journalctl -b -u {unit}",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "unit_is", "active", self.unit

    shell = (_UNIT_IS,)


class NoFailedUnitCheck(Check, frozen=True, kw_only=True):
    """No systemd unit has failed, but for those that must where nothing says which cluster to join."""

    test = "test_no_failed_unit"
    place = 160
    level = Level.NODE
    needs = "boot"
    subject = "systemd"
    # With any unit, the failed ones are gathered, too.
    wanted = Wanted(units=(GATE_UNIT,))
    besides: tuple[str, ...] = ()

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return (cls(),) if step is None else ()

    @property
    def row(self) -> tuple[str, ...]:
        return self.besides

    suite = """
# Whose units -> those that fail on every machine that joins no cluster.
FAILED_UNITS = {table}


@pytest.mark.needs_boot
@pytest.mark.parametrize("manager", FAILED_UNITS)
def test_no_failed_unit(node, manager):
    assert node.failed is not None, explain(expected=f"{manager} says what failed", found="systemctl does not answer")
    besides = (*FAILED_UNITS[manager], *(JUDGE_THE_KERNEL if node.surroundings.container else ()))
    found = "\\n".join(line for line in node.failed if line.split()[0] not in besides)
    assert not found, explain(
        expected=f"no failed unit of {manager}", found=found, todo="systemctl status UNIT; journalctl -b -u UNIT"
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return ("no_failed_unit",)

    shell = (
        r"""
no_failed_unit() {
	said=$(systemctl list-units --failed --plain --no-legend) || echo "systemctl ended with $?"
	[ -z "$said" ] || echo "failed units: $said"
}
""",
    )
