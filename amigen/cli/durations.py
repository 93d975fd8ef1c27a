"""Durations on the command line: a number with its unit, such as `90s`, `10m`, `2h` or `30d`."""

from __future__ import annotations

import re
from typing import Any

import click

from amigen.cli.document import echo_line
from amigen.cli.options import is_quiet

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WORDS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration with its unit.

    0.1.0 took a number alone; that still works, with a note.

    Args:
        unit: The unit of the value that the command gets, and of a number alone.
        least, most: Limits in that unit.
        whole: The command gets an int.
    """

    name = "duration"

    def __init__(self, unit: str, *, least: float = 0, most: float = float("inf"), whole: bool = False) -> None:
        self.unit, self.least, self.most, self.whole = unit, least, most, whole

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What help shows; `ctx` is given by click 8.2 and later."""
        return "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | int:
        """The value in `unit`."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([smhd]?)", value.strip())
        if not found:
            self.fail(
                f"{value!r} is not a duration. Write a number and its unit, such as 90s, 10m, 2h or 30d.", param, ctx
            )
        number, unit = float(found[1]), found[2] or self.unit
        amount = number * _SECONDS[unit] / _SECONDS[self.unit]
        if not self.least <= amount <= self.most:
            limits = f"{self.least:g}{self.unit} " + (
                "or more" if self.most == float("inf") else f"to {self.most:g}{self.unit}"
            )
            self.fail(f"{value!r} is not in the range. Give {limits}.", param, ctx)
        if self.whole and amount != int(amount):
            self.fail(f"{value!r} is not a whole number of {_WORDS[self.unit]}.", param, ctx)
        if not found[2] and number and param is not None:
            words = f"{param.opts[0]} {value} has no unit: read as {_WORDS[self.unit]}; write {value}{self.unit}"
            if not is_quiet():
                echo_line(f"note: {words}", err=True)
        return int(amount) if self.whole else amount
