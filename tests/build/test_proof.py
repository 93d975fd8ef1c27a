"""Images that are verified side by side: their VMs boot together, and pytest runs once at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from testinfra.backend.local import LocalBackend

from amigen.build.proof import check_image
from amigen.connections.model import Target
from amigen.facts import Facts
from amigen.verify.run import make_report
from amigen.verify.session import SessionInput, run_session
from amigen.vm.image import VmImage
from tests.build.test_packer_files import plan_of


def twice(work: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        return [future.result(300) for future in [pool.submit(work), pool.submit(work)]]


def test_two_vms_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other: one after the other, nobody would come."""
    both = threading.Barrier(2)
    target = Target(text="disk.qcow2", kind="image", name="disk.qcow2")

    def verify(plan: Any, *_given: Any) -> Any:
        both.wait(300)
        return make_report(plan, target, datetime.now(UTC), 0.0, ())

    monkeypatch.setattr("amigen.build.proof.verify_image", verify)
    image = VmImage(disk=Path("disk.qcow2"), format="qcow2")
    assert twice(lambda: check_image(plan_of(), image, "debian", keep=False, log=print)) == [(), ()]


def test_pytest_runs_once_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running: list[int] = []
    most: list[int] = []

    def main(*_given: Any, **_more: Any) -> int:
        running.append(1)
        most.append(len(running))
        time.sleep(0.1)
        running.pop()
        return 0

    monkeypatch.setattr("amigen.verify.session.pytest.main", main)
    given = SessionInput(folder=tmp_path, files=(), phase="node")
    twice(lambda: run_session(given, {}, dict))
    assert most == [1, 1]


def test_what_other_threads_say_meanwhile_is_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A build tells how its VMs get on while a suite runs."""
    file = tmp_path / "tests" / "test_it.py"
    file.parent.mkdir()
    # The test stands for another thread: both write to the stderr of this process.
    file.write_text("import sys\n\ndef test_it(host):\n    print('the second node is up', file=sys.stderr)\n")
    given = SessionInput(folder=tmp_path, files=(file,), phase="node")
    found = run_session(given, {"one": LocalBackend()}, lambda: {"one": Facts()})
    assert [result.outcome for result in found["one"]] == ["passed"]
    assert capfd.readouterr() == ("", "the second node is up\n")
