"""Several images at once: one that fails does not hide the others; Ctrl-C ends all of them."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import BuildError, InputError
from amigen.build.describe import Asked, conclusion
from amigen.build.packer_tool import Packer
from amigen.build.progress import Progress
from amigen.build.record import ImageRecord, read_record
from amigen.build.run import BuildRequest, Job, Order, keep_record, run_build
from amigen.build.session import Session
from amigen.build.stop import Stop
from amigen.plan.make import plan_images
from amigen.vm.scratch import sweep
from tests.build.processes import started
from tests.build.stand_in_packer import stand_in_packer
from tests.build.test_packer_files import image


def order(folder: Path, *platforms: str, program: str = "packer", version: Any = (1, 6, 6)) -> Order:
    plans = plan_images(image(platforms=platforms or ("debian-12",), architectures=("x86_64",)))
    request = BuildRequest(
        jobs=tuple(Job(plan=plan, architecture="x86_64") for plan in plans),
        target="local",
        output=folder / "out",
        parallel=2,
    )
    return Order(request=request, packer=Packer(path=program, version=version), progress=Progress())


def built(session: Session) -> ImageRecord:
    return ImageRecord(
        platform=session.plan.platform, architecture="x86_64", outcome="built", verified=True, file="disk.qcow2"
    )


def test_one_that_fails_does_not_hide_the_other(tmp_path: Path) -> None:
    def builder(session: Session) -> ImageRecord:
        if session.plan.platform == "al2023":
            raise BuildError("no such disk")
        return built(session)

    done = run_build(order(tmp_path, "al2023", "debian-12"), builder, Stop())
    assert [(i.platform, i.outcome, i.error) for i in done.record.images] == [
        ("al2023", "failed", "no such disk"),
        ("debian-12", "built", ""),
    ]
    assert read_record(done.path) == done.record
    assert list(done.errors) == ["al2023-x86_64"]


def test_an_error_of_no_known_kind_ends_its_own_image_only(tmp_path: Path) -> None:
    """A fault of amigen, or of a library: it is named, and its traceback is in the log."""

    def builder(session: Session) -> ImageRecord:
        if session.plan.platform == "al2023":
            raise KeyError("Reservations")
        return built(session)

    done = run_build(order(tmp_path, "al2023", "debian-12"), builder, Stop())
    failed, other = done.record.images
    assert (failed.outcome, failed.error.splitlines()[0]) == ("failed", "KeyError: 'Reservations'")
    assert other.outcome == "built"
    assert 'raise KeyError("Reservations")' in Path(failed.log).read_text()
    assert read_record(done.path) == done.record


def test_a_log_that_was_never_written_is_not_named(tmp_path: Path) -> None:
    def builder(_session: Session) -> ImageRecord:
        raise BuildError("no base")

    done = run_build(order(tmp_path), builder, Stop())
    assert done.record.images[0].log == ""
    assert "nothing was kept\n" in conclusion(done.record, done.path, Asked(spec=image(), path="spec.yaml"))


def test_one_after_the_other_is_not_side_by_side(tmp_path: Path) -> None:
    """Each waits for the other: with one at a time nobody would come."""
    both = threading.Barrier(2)

    def builder(session: Session) -> ImageRecord:
        both.wait(300)
        return built(session)

    done = run_build(order(tmp_path, "al2023", "debian-12"), builder, Stop())
    assert done.errors == {}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "out"))):
        run_build(order(tmp_path), built, Stop())


def test_the_scratch_folder_is_gone_after_a_failure(tmp_path: Path) -> None:
    seen: list[Path] = []

    def builder(session: Session) -> ImageRecord:
        seen.append(session.work)
        (session.work / "big").write_text("x")
        raise BuildError("no")

    run_build(order(tmp_path), builder, Stop())
    assert not seen[0].exists()


def test_what_stands_now_is_of_all_builds_of_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    keep_record(run_build(order(tmp_path, "al2023", "debian-12"), built, Stop()), path)
    both = read_record(path)
    again = order(tmp_path, "al2023", "debian-12")
    second = dataclasses.replace(again.request, jobs=again.request.jobs[1:])
    one = run_build(dataclasses.replace(again, request=second), built, Stop())
    keep_record(one, path)
    assert [i.platform for i in read_record(path).images] == [i.platform for i in both.images]
    assert read_record(path).build == one.record.build


def test_a_build_that_failed_does_not_touch_what_stands(tmp_path: Path) -> None:
    def no(_session: Session) -> ImageRecord:
        raise BuildError("no")

    path = tmp_path / "record.json"
    keep_record(run_build(order(tmp_path), built, Stop()), path)
    before = path.read_bytes()
    assert keep_record(run_build(order(tmp_path), no, Stop()), path) is None
    assert path.read_bytes() == before


def run_packer(session: Session, *, only: str = "qemu.image") -> None:
    session.run_packer(
        session.write_files() / "packer/local",
        only=only,
        variables={},
        on_event=lambda _event: None,
    )


def test_a_modern_packer_gets_its_plugins_and_the_folder(tmp_path: Path) -> None:
    """With a stand-in for Packer: no real one of 1.7 or later can be had everywhere."""
    program = stand_in_packer(tmp_path)

    def builder(session: Session) -> ImageRecord:
        run_packer(session)
        return built(session)

    done = run_build(order(tmp_path, program=str(program), version=(1, 11, 2)), builder, Stop())
    # This one builds nothing, and so never asked for a check.
    assert [error.message for error in done.errors.values()] == ["debian-12/x86_64: Packer ended before the checks ran"]
    assert done.record.images[0].outcome == "failed"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "init ."
    assert calls[1].startswith("build -machine-readable -only=qemu.image ")
    assert calls[1].endswith(" .")


def test_what_packer_says_of_its_failure_is_the_message(tmp_path: Path) -> None:
    program = stand_in_packer(tmp_path, "echo '1,,ui,error,Build halted%!(PACKER_COMMA) no disk'; exit 1")

    def builder(session: Session) -> ImageRecord:
        run_packer(session)
        return built(session)

    done = run_build(order(tmp_path, program=str(program)), builder, Stop())
    [error] = done.errors.values()
    assert "Packer failed: Build halted, no disk" in error.message
    assert "Build halted, no disk" in Path(done.record.images[0].log).read_text()


_PROGRAM = """
import sys
from pathlib import Path
from amigen.build.run import run_build
from amigen.build.stop import Stop
from amigen.base.interrupt import signals_as_interrupt
from tests.build.test_run import order, run_packer, built

def builder(session):
    run_packer(session)
    return built(session)

with signals_as_interrupt():
    done = run_build(order(Path(sys.argv[1]), program=sys.argv[2]), builder, Stop())
print(done.record.images[0].outcome, done.interrupted)
"""
# Packer cleans up when it is told to end; this one writes down that it did, and takes its time.
_PATIENT = (
    "trap 'sleep 0.5; touch {folder}/cleaned; exit 1' TERM INT; touch {folder}/began; while :; do sleep 0.1; done"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_packer_clean_up(tmp_path: Path, number: int) -> None:
    program = stand_in_packer(tmp_path, _PATIENT.format(folder=tmp_path))
    with _building(tmp_path, program) as process:
        process.send_signal(number)
        assert process.communicate(timeout=300)[0].splitlines()[-1] == "interrupted True"
    assert (tmp_path / "cleaned").exists()


def test_packer_cleans_up_even_when_amigen_is_killed(tmp_path: Path) -> None:
    program = stand_in_packer(tmp_path, _PATIENT.format(folder=tmp_path))
    with _building(tmp_path, program) as process:
        process.kill()
        process.wait(timeout=300)
        _wait_for(tmp_path / "cleaned")
    # What is left is a folder without an owner, which the next build removes.
    sweep()


_LATE = """
import os, signal, subprocess, sys
from pathlib import Path
from amigen.build.run import run_build
from amigen.build.stop import Stop
from amigen.base.errors import BuildError
from tests.build.test_run import order, built

def builder(session):
    os.kill(os.getpid(), signal.SIGINT)
    while not session.stop.asked:
        pass
    ended = subprocess.run(["sleep", "600"])
    raise BuildError(f"sleep ended with {ended.returncode}")

print(run_build(order(Path(sys.argv[1])), builder, Stop()).record.images[0].error)
"""


def test_a_program_that_starts_after_the_signal_is_ended_too(tmp_path: Path) -> None:
    with started([sys.executable, "-c", _LATE, str(tmp_path)]) as process:
        assert process.communicate(timeout=300)[0].splitlines()[-1] == "sleep ended with -15"


@contextmanager
def _building(tmp_path: Path, program: Path) -> Iterator[subprocess.Popen[str]]:
    with started([sys.executable, "-c", _PROGRAM, str(tmp_path), str(program)]) as process:
        _wait_for(tmp_path / "began")
        yield process


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.05)
