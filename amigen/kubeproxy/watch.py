"""Compare repeatedly until nothing differs, and remember how long each difference has lasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.base.waiting import attempts
from amigen.kubeproxy.status import NodeStatus
from amigen.kubernetes.transport import UnreachableError
from amigen.services.difference import Difference

# Node, kind and subject: the same difference on two nodes is two.
_Key: TypeAlias = tuple[str, str, str]
# Since when each has been there, and its text.
_Told: TypeAlias = dict[_Key, tuple[float, str]]
_API_AWAY: _Key = ("", "away", "")


def watch(
    compare_once: Callable[[], tuple[NodeStatus, ...]],
    *,
    seconds: float,
    interval: float,
    say: Callable[[str], None],
) -> tuple[tuple[NodeStatus, ...], dict[tuple[str, Difference], float]]:
    """Compare until nothing differs or the time is over; the last state, and how long each difference has lasted.

    Whoever does not answer meanwhile, a node or the API server, was not seen: that is said, and the watch goes on.

    Args:
        seconds: How long to watch; 0: compare once.
        say: Takes a line whenever a difference comes or goes.

    Raises:
        UnreachableError, CouldNotCheckError: The last comparison failed.
    """
    told: _Told = {}
    away: AmigenError | None = None
    states: tuple[NodeStatus, ...] = ()
    lasted: dict[tuple[str, Difference], float] = {}
    for _ in attempts(seconds=seconds, every=interval):
        try:
            states, away = compare_once(), None
        except (UnreachableError, CouldNotCheckError) as error:
            away = error
            if seconds and _API_AWAY not in told:
                say(f"not seen: {error.message}")
            told[_API_AWAY] = (time.monotonic(), error.message)
            continue
        current = _current(told, states, time.monotonic())
        if seconds:
            _tell(told, current, say)
        told = current
        lasted = {
            (state.key, one): time.monotonic() - told[state.key, one.kind, one.subject][0]
            for state in states
            for one in state.differences
        }
        if not (lasted or _unseen(states)):
            break
    if away:
        raise away
    return states, lasted


def _current(told: _Told, states: tuple[NodeStatus, ...], now: float) -> _Told:
    """What there is to tell now; of a node that was not seen, what was known stays."""
    current: _Told = {}
    for state in states:
        name = f"{state.subject}: " if len(states) > 1 else ""
        if isinstance(state.found, CouldNotCheckError):
            current |= {key: known for key, known in told.items() if key[0] == state.key}
            current[state.key, "away", ""] = (now, f"{name}{state.found.message}")
        for one in state.differences:
            key = (state.key, one.kind, one.subject)
            current[key] = (told[key][0] if key in told else now, name + one.says)
    return current


def _tell(told: _Told, current: _Told, say: Callable[[str], None]) -> None:
    for key in current.keys() - told.keys():
        say(f"{'not seen' if key[1] == 'away' else 'differs'}: {current[key][1]}")
    for key in told.keys() - current.keys():
        say("seen again" + (f": {key[0]}" if key[0] else "") if key[1] == "away" else f"settled: {told[key][1]}")


def refuse_differences(states: tuple[NodeStatus, ...], lasted: Mapping[tuple[str, Difference], float]) -> None:
    """The verdict.

    Raises:
        ChecksFailedError: Something differs.
        CouldNotCheckError: Nothing differs where it could be seen, and a node was not seen.
    """
    if lasted:
        raise ChecksFailedError(f"{len(lasted)} differences between the cluster and what is on the node")
    if unseen := _unseen(states):
        raise CouldNotCheckError("\n".join(error.message for error in unseen), unseen[0].hint)


def _unseen(states: tuple[NodeStatus, ...]) -> list[CouldNotCheckError]:
    return [state.found for state in states if isinstance(state.found, CouldNotCheckError)]
