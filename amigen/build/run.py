"""A build from its beginning to its end: all images of a spec, each kept or not, and the record of it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

import msgspec

from amigen.base.errors import AmigenError, BuildError, InputError
from amigen.base.locks import exclusive_lock
from amigen.base.moments import rfc3339
from amigen.base.version import __version__
from amigen.build.packer_tool import Packer
from amigen.build.progress import Progress
from amigen.build.record import BuildRecord, ImageRecord, read_record, recorded_spec, write_record
from amigen.build.session import Session
from amigen.build.stop import Stop, signals_noted
from amigen.plan.choose import chosen_plans, selected
from amigen.plan.model import ImagePlan
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture
from amigen.vm.scratch import scratch

# A file system of which less is free counts as full: images are written in clusters and blocks, not to the last byte.
_NO_ROOM = 1 << 20

Builder = Callable[[Session], ImageRecord]
_Outcome: TypeAlias = tuple[ImageRecord, AmigenError | None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to build."""

    plan: ImagePlan
    architecture: Architecture

    @property
    def name(self) -> str:
        """`debian-12-x86_64`, for files."""
        return f"{self.plan.platform}-{self.architecture}"


def jobs_of(spec: NodeImage, platforms: Sequence[str], architectures: Sequence[str]) -> tuple[Job, ...]:
    """One job for each image of the chosen platforms and architectures; all of a kind where none is chosen."""
    _, kept = selected(spec, platforms, architectures)
    return tuple(Job(plan=plan, architecture=each) for plan in chosen_plans(spec, platforms) for each in kept)


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What is asked for.

    Attributes:
        output: Folder of the spec's results: `record.json` or `local.json`, `builds/ID/`, local images.
        spec_folder: What paths in the spec are relative to.
        packer: Executable; None: as in PATH.
        variables: Of the Packer files.
        parallel: Images to build at once; None: one locally, all on AWS.
        fresh_base: Make or download the base again.
        keep: Leave a machine on which a check failed running until the build is interrupted.
        resume: Keep images already built from this spec.
        profile, endpoint_url: Of AWS.
    """

    jobs: tuple[Job, ...]
    target: Literal["local", "aws"]
    output: Path
    spec_folder: Path = Path()
    packer: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    parallel: int | None = None
    fresh_base: bool = False
    keep: bool = False
    resume: bool = False
    profile: str | None = None
    endpoint_url: str | None = None

    @property
    def spec(self) -> NodeImage:
        """The spec of all jobs."""
        return self.jobs[0].plan.spec


def new_build_id() -> str:
    """`20261123-121500-3f9a1c`: sorts by time, and two builds at once differ."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request, and what its build runs with."""

    request: BuildRequest
    packer: Packer
    progress: Progress
    build_id: str = field(default_factory=new_build_id)


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result of a build: the record, its path, and the errors by job."""

    record: BuildRecord
    path: Path
    errors: dict[str, AmigenError]
    interrupted: bool


def run_build(order: Order, builder: Builder, stop: Stop) -> Built:
    """Build all images; one that fails does not hide the others.

    Ctrl-C, SIGTERM and SIGHUP end it: running programs are asked to end, and amigen waits for them.
    """
    started, request = datetime.now(UTC), order.request
    folder = request.output / "builds" / order.build_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}", "name another folder by --output-folder") from None
    at_once = request.parallel or (1 if request.target == "local" else len(request.jobs))
    with signals_noted(stop), ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="build") as pool:
        running = {job.name: pool.submit(_build_one, order, job, builder, folder, stop) for job in request.jobs}
        _wait_for_all(running.values(), stop)
    done = {name: future.result() for name, future in running.items() if not future.cancelled()}
    record = BuildRecord(
        build=order.build_id,
        target=request.target,
        name=request.spec.name,
        spec_digest=request.jobs[0].plan.digest,
        kubernetes_version=request.spec.kubernetes_version,
        amigen_version=__version__,
        packer_version=order.packer.text,
        started_at=rfc3339(started),
        finished_at=rfc3339(datetime.now(UTC)),
        spec=recorded_spec(request.spec),
        images=tuple(image for image, _ in done.values()),
    )
    path = folder / "record.json"
    write_record(record, path)
    errors = {name: error for name, (_, error) in done.items() if error}
    return Built(record=record, path=path, errors=errors, interrupted=stop.asked)


def _wait_for_all(futures: Iterable[Future[_Outcome]], stop: Stop) -> None:
    waiting = set(futures)
    while waiting:
        # With a bound, so that a signal is seen soon.
        done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        if stop.told and not stop.asked:
            stop.ask()
            for future in waiting:
                future.cancel()
            waiting = {future for future in waiting if not future.cancelled()}
        elif stop.asked:
            stop.end_children()


def _build_one(order: Order, job: Job, builder: Builder, folder: Path, stop: Stop) -> _Outcome:
    with scratch("build") as work, _room_watched(work) as full:
        session = Session(
            plan=job.plan,
            architecture=job.architecture,
            packer=order.packer,
            progress=order.progress,
            stop=stop,
            work=work,
            log=folder.absolute() / f"{job.name}.log",
            keep=order.request.keep,
        )
        try:
            if stop.asked:
                raise AmigenError("interrupted before it started")
            image = builder(session)
        except Exception as problem:
            # The other images continue, and the record has the error.
            error = _explained(_as_error(problem, session.log), work, full.is_set())
            session.begin("")
            outcome: Literal["interrupted", "failed"] = "interrupted" if stop.asked else "failed"
            order.progress.end(session.job, f"{outcome}; nothing was kept", well=False)
            failed = ImageRecord(
                platform=job.plan.platform,
                architecture=job.architecture,
                outcome=outcome,
                error=str(error),
                **session.findings(),
            )
            return failed, error
        order.progress.end(session.job, f"built: {image.file or image.image_id}", well=True)
        return image, None


@contextmanager
def _room_watched(folder: Path) -> Iterator[threading.Event]:
    """Yield an event that is set once the disk of the folder is full; later, a failing program has freed the space."""
    full, over = threading.Event(), threading.Event()

    def look() -> None:
        while not over.wait(0.2) and not full.is_set():
            if shutil.disk_usage(folder).free < _NO_ROOM:
                full.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield full
    finally:
        over.set()
        thread.join()


def _as_error(problem: Exception, log: Path) -> AmigenError:
    if isinstance(problem, AmigenError):
        return problem
    if isinstance(problem, OSError):
        return BuildError(": ".join(str(part) for part in (problem.strerror or problem, problem.filename) if part))
    with log.open("a", encoding="utf-8") as file:
        file.writelines(traceback.format_exception(problem))
    said = f"{type(problem).__name__}: {problem}"
    return BuildError(said, f"this is a bug in amigen; its traceback is at the end of {log}")


def _explained(error: AmigenError, work: Path, full: bool) -> AmigenError:
    """A full disk shows in many ways: as the guest's I/O error, as Packer's, as a file's."""
    if not full and os.strerror(errno.ENOSPC).lower() not in error.message.lower():
        return error
    said = error.message.replace("\n", "\n  ")
    return BuildError(f"the disk of {work.parent} is full: {said}", "set TMPDIR to a folder with free space")


def keep_record(built: Built, path: Path) -> BuildRecord | None:
    """Write the record of the current images: those of this build, and those of earlier builds of the same spec that
    this one did not build. None, and nothing is written, if there is no image.
    """
    made = {(i.platform, i.architecture): i for i in built.record.images if i.outcome == "built"}
    if not made:
        return None
    # Another build of the same spec (another platform) may end at the same moment.
    with exclusive_lock(path.parent):
        images = {**_older(path, built.record), **made}
        record = msgspec.structs.replace(built.record, images=tuple(images[key] for key in sorted(images)))
        write_record(record, path)
    return record


def _older(path: Path, record: BuildRecord) -> dict[tuple[str, str], ImageRecord]:
    if not path.exists():
        return {}
    try:
        old = read_record(path)
    except InputError:
        # Of another amigen version, or damaged: it must not make this build fail.
        return {}
    if (old.spec_digest, old.target) != (record.spec_digest, record.target):
        return {}
    return {(i.platform, i.architecture): i for i in old.images if i.outcome == "built"}
