"""A row of the table, and measuring two commands in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from msgspec import Struct


class Row(Struct, frozen=True, kw_only=True):
    """One measurement.

    Attributes:
        values: All that was measured, in `unit`.
        at_most, at_least: The limit, where there is one; a row beyond it fails the bench.
        aim: What to be below where the other side does less or is another tool; a row beyond it is `behind`, and
            docs/performance.md says why.
    """

    what: str
    values: tuple[float, ...]
    unit: str = "x"
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        """Whether the median is within the limit."""
        above = self.at_most is None or self.median <= self.at_most
        return above and (self.at_least is None or self.median >= self.at_least)

    @property
    def behind(self) -> bool:
        """Whether the median is beyond what is aimed at."""
        return self.aim is not None and self.median > self.aim

    def text(self) -> str:
        """The row as a line."""
        limits = (("<=", self.at_most), (">=", self.at_least), ("aim <=", self.aim))
        limit = next((f"{sign} {value:g}" for sign, value in limits if value is not None), "")
        missed = "" if self.holds else "  MISSED"
        missed = "  behind" if self.behind else missed
        numbers = " ".join(f"{_number(v) + self.unit:>10}" for v in (self.median, min(self.values), max(self.values)))
        return f"{self.what:76} {numbers} {len(self.values):>4}  {limit}{missed}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def in_turn(a: Sequence[str], b: Sequence[str], *, runs: int = 15, warm: bool = True) -> tuple[float, ...]:
    """The time of command A over that of command B, pair by pair, after one run of each that does not count.

    `warm`: False leaves that one run out, for commands that take minutes.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def seconds(command: Sequence[str]) -> float:
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    if warm:
        seconds(a), seconds(b)
    return ratios(lambda: seconds(a), lambda: seconds(b), runs=runs)


def ratios(a: Callable[[], float], b: Callable[[], float], *, runs: int) -> tuple[float, ...]:
    """What A measures over what B measures, pair by pair; every other pair begins with B, whom the first one warms."""
    found = []
    for number in range(runs):
        if number % 2:
            below = b()
            found.append(a() / below)
        else:
            found.append(a() / b())
    return tuple(found)
