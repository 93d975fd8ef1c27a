"""Calls fail, each in turn, or the process is killed there: the next run comes to the same end.

Always run: every operation of every command, the kinds of fault in turn, and a kill before and after what changes
something. With AMIGEN_EVERY_FAULT=1 also all kinds at every position, and a kill between any two calls (hours).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.publish.scenarios import SCENARIOS, Scenario
from tests.publish.stand_in.gateway import FAULTS, Fault, FaultKind, Position
from tests.publish.world import Result, World

_WHOLE = pytest.mark.skipif(not os.environ.get("AMIGEN_EVERY_FAULT"), reason="takes hours: AMIGEN_EVERY_FAULT=1")
_BY_NAME = [pytest.param(s, id=s.name.replace(" ", "-")) for s in SCENARIOS]
_BY_NAME_CHANGING = [pytest.param(s, id=s.name.replace(" ", "-")) for s in SCENARIOS if s.changes]


def prepared(world: World, scenario: Scenario) -> None:
    """The account as it is before the command."""
    world.reset()
    scenario.prepare(world)
    world.gateway.start_counting()


def without_faults(world: World, scenario: Scenario) -> tuple[list[Position], Any]:
    """The calls of an undisturbed run, and its end."""
    prepared(world, scenario)
    result = world.amigen(*scenario.command(world))
    assert result.code == scenario.code, result.err
    return _taken(world.gateway.positions(), scenario), scenario.end(world, result)


def _taken(positions: list[Position], scenario: Scenario) -> list[Position]:
    return [p for p in positions if p.number == 1 or p.operation not in scenario.uncertain]


def converges(world: World, scenario: Scenario, end: Any, what: str) -> None:
    """The next run, without faults, ends as one that nothing disturbed, and at the same end."""
    world.gateway.fault = None
    again = world.amigen(*scenario.command(world))
    assert again.code == scenario.code, f"after {what}: {again.err}"
    assert scenario.end(world, again) == end, f"after {what}"


# A role with an older policy may not call these; the command says what it could not look at, and goes on.
_OPTIONAL = ("DescribeImageAttribute", "DescribeImageReferences")


def fails_well(result: Result, fault: Fault) -> None:
    """One message that names the call, its region and the way out; no traceback, no secret."""
    if (result.code, fault.kind) == (0, "denied") and fault.at.operation in _OPTIONAL:
        assert f"ec2:{fault.at.operation}" in result.out
        return
    assert result.code != 0, f"{fault} was not noticed"
    assert f"{fault.at.service}:{fault.at.operation} in {fault.at.region}" in result.err
    assert "hint:" in result.err
    assert "Traceback" not in result.err
    assert "never-shown" not in result.err + result.out


def faulted_run(world: World, scenario: Scenario, position: Position, kind: FaultKind) -> bool:
    """A run with a fault; False where it did not come to this call, and so went through."""
    fault = Fault(at=position, kind=kind)
    for _ in range(5):
        world.gateway.start_counting()
        world.gateway.fault = fault
        world.gateway.fault_hits = 0
        result = world.amigen(*scenario.command(world), "--read-timeout", "1.5" if kind == "timeout" else "60")
        # A loaded machine may time out elsewhere: one more fault to converge from, and not the one that is meant.
        if kind != "timeout" or world.gateway.fault_hits or "ReadTimeoutError" not in result.err:
            break
    if world.gateway.fault_hits == 0:
        assert result.code == scenario.code, result.err
        return False
    fails_well(result, fault)
    return True


def in_turn(world: World, scenario: Scenario, position: Position, kinds: Sequence[FaultKind], end: Any) -> None:
    """One kind after the other at the same call, run upon run; then a run without faults, and the end is the same.

    A run that does not come to the call any more (what comes before it is done) has converged: the other kinds begin
    anew.
    """
    left = list(kinds)
    while left:
        prepared(world, scenario)
        assert faulted_run(world, scenario, position, left[0]), f"{position} was not reached"
        hit = [left.pop(0)]
        while left and faulted_run(world, scenario, position, left[0]):
            hit.append(left.pop(0))
        converges(world, scenario, end, f"{', '.join(hit)} at {position}")


def sampled(positions: list[Position], scenario: Scenario) -> list[Position]:
    """Each operation once: where it comes first, or those of the scenario's own sample where they come last."""
    if scenario.sample:
        return list({p.operation: p for p in positions if p.operation in scenario.sample}.values())
    return list({p.operation: p for p in reversed(positions)}.values())


@pytest.mark.parametrize("scenario", _BY_NAME)
def test_each_operation_may_fail_once(world: World, scenario: Scenario) -> None:
    """A sample that is quick: every operation once, the kinds in turn."""
    positions, end = without_faults(world, scenario)
    kinds = itertools.cycle(FAULTS)
    for position in sampled(positions, scenario):
        in_turn(world, scenario, position, [next(kinds)], end)


@_WHOLE
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("scenario", _BY_NAME)
def test_every_call_at_every_position_may_fail(world: World, scenario: Scenario) -> None:
    """All kinds of fault at all calls."""
    positions, end = without_faults(world, scenario)
    assert positions
    for position in positions:
        in_turn(world, scenario, position, FAULTS, end)


def kill_points(positions: list[Position], scenario: Scenario) -> Iterator[tuple[Position, FaultKind]]:
    """Between any two calls: before each; and after each that changes something, its answer unread."""
    for position in positions:
        yield position, "kill-before"
        if position.operation in scenario.changes:
            yield position, "kill-after"


def one_kill(world: World, scenario: Scenario, position: Position, kind: FaultKind, end: Any) -> None:
    prepared(world, scenario)
    world.gateway.fault = Fault(at=position, kind=kind)
    process = world.start(*scenario.command(world))
    world.gateway.victim = process.pid
    try:
        process.join(300)
    finally:
        process.kill()
        process.join()
    said = (world.folder / "log").read_text()
    assert (process.exitcode, world.gateway.fault_hits) == (-9, 1), f"{position} was not reached: {said}"
    converges(world, scenario, end, f"{kind} at {position}")


@pytest.mark.parametrize("scenario", _BY_NAME_CHANGING)
def test_killed_at_each_change(world: World, scenario: Scenario) -> None:
    """A sample that is quick: each operation that changes something, killed before it and right after it in turn."""
    positions, end = without_faults(world, scenario)
    kinds: Iterator[FaultKind] = itertools.cycle(("kill-after", "kill-before"))
    changing = [p for p in sampled(positions, scenario) if p.operation in scenario.changes]
    assert changing
    for position in changing:
        one_kill(world, scenario, position, next(kinds), end)


@_WHOLE
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("scenario", _BY_NAME)
def test_killed_between_any_two_calls(world: World, scenario: Scenario) -> None:
    """SIGKILL of the real command, wherever it is."""
    positions, end = without_faults(world, scenario)
    for position, kind in kill_points(positions, scenario):
        one_kill(world, scenario, position, kind, end)
