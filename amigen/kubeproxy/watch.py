"""Compare repeatedly until nothing differs, and remember how long each difference has lasted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from amigen.base.errors import AmigenError, CouldNotCheckError
from amigen.kubeproxy.rollout import Clock
from amigen.kubeproxy.status import NodeStatus
from amigen.kubernetes.transport import UnreachableError
from amigen.services.difference import Difference

# Node, kind and subject: the same difference on two nodes is two.
_Key: TypeAlias = tuple[str, str, str]


@dataclass
class Memory:
    """Remembers since when each difference has been there; of a node that was not seen, it keeps what it knew."""

    clock: Clock
    since: dict[_Key, float] = field(default_factory=dict)

    def see(self, states: tuple[NodeStatus, ...]) -> dict[tuple[str, Difference], float]:
        """Seconds that each of these has lasted; what is no longer there is forgotten."""
        now = self.clock.monotonic()
        unseen = {state.key for state in states if state.unseen}
        found = {(state.key, one.kind, one.subject): (state.key, one) for state in states for one in state.differences}
        self.since = {key: begun for key, begun in self.since.items() if key in found or key[0] in unseen}
        return {pair: now - self.since.setdefault(key, now) for key, pair in found.items()}


def watch(
    compare_once: Callable[[], tuple[NodeStatus, ...]],
    clock: Clock,
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
    memory = Memory(clock)
    deadline = clock.monotonic() + seconds
    told: dict[_Key, str] = {}
    while True:
        away: AmigenError | None = None
        states: tuple[NodeStatus, ...] = ()
        try:
            states = compare_once()
        except (UnreachableError, CouldNotCheckError) as error:
            if not seconds:
                raise
            away = error
            if ("", "away", "") not in told:
                say(f"not seen: {error.message}")
            told[("", "away", "")] = error.message
        else:
            lasted = memory.see(states)
            if seconds:
                told = _tell(told, states, say)
            if clock.monotonic() >= deadline or not (lasted or any(state.unseen for state in states)):
                return states, lasted
        if away and clock.monotonic() >= deadline:
            raise away
        clock.sleep(interval)


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
