"""Sessions side by side, each in a process of its own: pytest runs one at a time in each."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from testinfra.backend.base import BaseBackend

from amigen.base.errors import CouldNotCheckError
from amigen.base.interrupt import ending_programs
from amigen.facts import Facts
from amigen.verify import session
from amigen.verify.report import Result
from amigen.verify.session import SessionInput

_PDEATHSIG = 1  # linux/prctl.h
_PARTS: list[tuple[SessionInput, list[dict[str, BaseBackend]], Mapping[str, Facts]]] = []


def run_sessions(
    given: SessionInput, backends: Mapping[str, BaseBackend], facts: Mapping[str, Facts]
) -> dict[str, list[Result]]:
    """As `run_session`, for many hosts whose facts are there: a session per processor, in processes of their own.

    Raises:
        CouldNotCheckError: Somebody killed one of them.
    """
    keys = list(backends)
    count = min(len(os.sched_getaffinity(0)), len(keys))
    if count < 2:
        return session.run_session(given, backends, lambda: facts)
    parts = [{key: backends[key] for key in keys[start::count]} for start in range(count)]
    found: dict[str, list[Result]] = {}
    # Forked, so that the facts need not travel; only results do.
    workers = ProcessPoolExecutor(count, get_context("fork"), initializer=_take, initargs=(given, parts, facts))
    try:
        with workers, ending_programs():
            for results in workers.map(_run_part, range(count)):
                found |= results
    except BrokenProcessPool:
        raise CouldNotCheckError(
            "a process that runs checks was killed", "is there enough memory? then run the same command again"
        ) from None
    return found


def _take(given: SessionInput, parts: list[dict[str, BaseBackend]], facts: Mapping[str, Facts]) -> None:
    session.forked()
    # They wait for work for ever, also where nobody is left to give them any.
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    # What interrupts amigen ends them; it is for their parent to say so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _PARTS.append((given, parts, facts))


def _run_part(number: int) -> dict[str, list[Result]]:
    given, parts, facts = _PARTS[-1]
    backends = parts[number]
    return session.run_session(given, backends, lambda: {key: facts[key] for key in backends})
