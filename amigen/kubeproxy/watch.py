"""Compare repeatedly until nothing differs, and remember how long each difference has lasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.base.waiting import wait_until
from amigen.kubeproxy.status import NodeStatus
from amigen.kubernetes.transport import UnreachableError
from amigen.services.model import Difference

# Node, kind and subject: the same difference on two nodes is two.
_Key: TypeAlias = tuple[str, str, str]


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
    since: dict[_Key, float] = {}
    told: dict[_Key, str] = {}
    away: AmigenError | None = None
    states: tuple[NodeStatus, ...] = ()
    lasted: dict[tuple[str, Difference], float] = {}

    def settled() -> bool:
        nonlocal since, told, away, states, lasted
        try:
            states, away = compare_once(), None
        except (UnreachableError, CouldNotCheckError) as error:
            away = error
            if seconds and ("", "away", "") not in told:
                say(f"not seen: {error.message}")
            told[("", "away", "")] = error.message
            return False
        since = _since(since, states)
        now = time.monotonic()
        lasted = {
            (state.key, one): now - since[state.key, one.kind, one.subject]
            for state in states
            for one in state.differences
        }
        if seconds:
            told = _tell(told, states, say)
        return not (lasted or any(state.unseen for state in states))

    wait_until(settled, seconds=seconds, every=interval)
    if away:
        raise away
    return states, lasted


def _since(before: dict[_Key, float], states: tuple[NodeStatus, ...]) -> dict[_Key, float]:
    """Since when each difference has been there; of a node that was not seen, what was known stays."""
    unseen = {state.key for state in states if state.unseen}
    found = {(state.key, one.kind, one.subject) for state in states for one in state.differences}
    kept = {key: begun for key, begun in before.items() if key in found or key[0] in unseen}
    return dict.fromkeys(found, time.monotonic()) | kept


def _tell(told: dict[_Key, str], states: tuple[NodeStatus, ...], say: Callable[[str], None]) -> dict[_Key, str]:
    many = len(states) > 1
    current: dict[_Key, str] = {}
    for state in states:
        name = f"{state.subject}: " if many else ""
        if state.unseen:
            current[state.key, "away", ""] = f"{name}{state.unseen.message}"
            # What was told of it is neither settled nor new.
            current |= {key: text for key, text in told.items() if key[0] == state.key and key[1] != "away"}
        current |= {(state.key, one.kind, one.subject): name + one.says for one in state.differences}
    for key in current.keys() - told.keys():
        say(f"{'not seen' if key[1] == 'away' else 'differs'}: {current[key]}")
    for key in told.keys() - current.keys():
        say("seen again" + (f": {key[0]}" if key[0] else "") if key[1] == "away" else f"settled: {told[key]}")
    return current


def refuse_differences(states: tuple[NodeStatus, ...], lasted: Mapping[tuple[str, Difference], float]) -> None:
    """The verdict.

    Raises:
        ChecksFailedError: Something differs.
        CouldNotCheckError: Nothing differs where it could be seen, and a node was not seen.
    """
    if lasted:
        raise ChecksFailedError(f"{len(lasted)} differences between the cluster and what is on the node")
    if unseen := [state.unseen for state in states if state.unseen]:
        raise CouldNotCheckError("\n".join(error.message for error in unseen), unseen[0].hint)
