"""What a build shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn


class Progress:
    """One line for each event, with the seconds since the start; for logs and CI. Several threads call it."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._lock = stream or sys.stderr, clock, threading.Lock()
        self._start = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        pass

    def phase(self, job: str, name: str) -> None:
        """The job begins this phase."""
        self._write(job, name)

    def line(self, job: str, text: str) -> None:
        """Something worth a line was said."""
        self._write(job, f"  {text}")

    def end(self, job: str, text: str, *, well: bool) -> None:
        """The job has ended."""
        self._write(job, text)

    def _write(self, job: str, text: str) -> None:
        with self._lock:
            print(f"{self._clock() - self._start:7.1f}s {job}: {text}", file=self._stream, flush=True)


class LiveProgress(Progress):
    """A line per job with its phase and time, and what is said above them."""

    def __init__(self) -> None:
        now = TextColumn("{task.fields[now]}")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), now)
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._bars.stop()

    def phase(self, job: str, name: str) -> None:
        with self._lock:
            if job not in self._tasks:
                self._tasks[job] = self._bars.add_task(job, total=None, now=name)
            self._bars.update(self._tasks[job], now=name)

    def line(self, job: str, text: str) -> None:
        self._bars.console.print(f"{job}: {text}", markup=False, highlight=False)

    def end(self, job: str, text: str, *, well: bool) -> None:
        mark = "done" if well else "FAILED"
        with self._lock:
            if job in self._tasks:
                self._bars.update(self._tasks[job], total=1, completed=1, now=mark)
        self.line(job, text)


def make_progress() -> Progress:
    """Live on a terminal that is not CI's; plain lines otherwise."""
    live = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    return LiveProgress() if live else Progress()
