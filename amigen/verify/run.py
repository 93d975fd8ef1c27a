"""Verify targets: gather from all of them at once while pytest is being loaded, and run one session."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from amigen.base.errors import CouldNotCheckError, InputError
from amigen.base.interrupt import ending_programs
from amigen.base.version import __version__
from amigen.checks.model import RELEASE_PATH
from amigen.connections import connect, parse_target
from amigen.connections.model import Connection, ConnectOptions, Target, UnreachableError
from amigen.facts import Facts, GatherError, Wanted, gather
from amigen.plan.model import ImagePlan
from amigen.render.suite import facts_of, suite_files
from amigen.testing.backend import backend_over
from amigen.verify.cause import causes_of
from amigen.verify.content import with_diffs
from amigen.verify.report import REACHED, Phase, Report, Result, verdict_of
from amigen.verify.session import SessionInput, run_session
from amigen.vm.scratch import scratch

# ssh clients at once: more would only wait for the processor.
_AT_ONCE = 64
NODE = "node"
_OS_RELEASE = "/etc/os-release"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to verify.

    Attributes:
        own: A folder with tests of the user's; None: none.
        joined: The target must have joined its cluster.
        hygiene: Check it as an image before its first boot, too: an unpacked root, or a builder that was cleaned.
        connect: How to connect.
        log: Receives one line for each thing that takes time.
    """

    own: Path | None = None
    joined: bool = False
    hygiene: bool = False
    connect: ConnectOptions = field(default_factory=ConnectOptions)
    log: Callable[[str], None] = lambda _line: None


def verify(plan: ImagePlan, target: str | Target, options: Options | None = None) -> Report:
    """Verify one target that is there already; for an image file see `amigen.verify.vm`.

    Raises:
        InputError: TARGET is none.
    """
    return verify_many(plan, [target], options)[0]


def verify_many(plan: ImagePlan, targets: Sequence[str | Target], options: Options | None = None) -> list[Report]:
    """Verify many targets side by side; a report for each, also where it cannot be asked, in their order.

    Raises:
        InputError: One of TARGETS is none, or is an image file.
    """
    options = options or Options()
    parsed = [parse_target(target) if isinstance(target, str) else target for target in targets]
    images = [target.text for target in parsed if target.kind == "image"]
    if images:
        raise InputError(f"{images[0]}: an image file has to be booted", "use amigen.verify.vm.verify_image")
    started, begun = datetime.now(UTC), time.monotonic()
    connections = [connect(each, options.connect) for each in parsed]
    machines: dict[int, str] = {}
    checked = check_hosts(plan, connections, options, machines=machines)
    seconds = time.monotonic() - begun
    phases = [Phase(name=NODE, seconds=round(seconds, 3))]
    results = [[not_reached(found)] if isinstance(found, CouldNotCheckError) else found for found in checked]
    return [
        make_report(plan, target, started, seconds, found, phases=phases, machine=machines.get(number, ""))
        for number, (target, found) in enumerate(zip(parsed, results, strict=True))
    ]


def not_reached(error: CouldNotCheckError, phase: str = NODE) -> Result:
    """The one result of a target that does not answer: every report has it."""
    expected = "a connection"
    return Result(id=REACHED, phase=phase, outcome="error", expected=expected, found=error.message, todo=error.hint)


def make_report(
    plan: ImagePlan,
    target: Target,
    started: datetime,
    seconds: float,
    results: Iterable[Result],
    *,
    phases: Sequence[Phase] = (),
    notes: Sequence[str] = (),
    evidence: str = "",
    machine: str = "",
) -> Report:
    """A report of these results with their causes; `evidence`: of `amigen.verify.cause.evidence_script`."""
    steps = {check.id: step.title for step in plan.steps for check in step.checks}
    results = tuple(structs.replace(each, step=steps[each.id]) if each.id in steps else each for each in results)
    return Report(
        spec=plan.spec.name,
        digest=plan.digest,
        platform=plan.platform,
        target=target.text,
        kind=target.kind,
        amigen=__version__,
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(seconds, 3),
        verdict=verdict_of(results),
        results=results,
        phases=tuple(phases),
        notes=tuple(notes),
        causes=causes_of(results, evidence),
        machine=machine,
    )


def check_hosts(
    plan: ImagePlan,
    connections: Sequence[Connection],
    options: Options,
    *,
    phase: str = NODE,
    machines: dict[int, str] | None = None,
) -> list[list[Result] | CouldNotCheckError]:
    """Gather from the hosts and run the node's tests on what was gathered.

    Args:
        machines: Takes the number of each host that answered, and what it is.
    """
    wanted = Wanted.of(facts_of(plan)) | Wanted(texts=(_OS_RELEASE, RELEASE_PATH))
    run = secrets.token_hex(4)
    keys = [f"{run}-{number}" for number in range(len(connections))]
    pool = ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(connections))))
    try:
        futures = {key: pool.submit(gather, each, wanted) for key, each in zip(keys, connections, strict=True)}
        ready = {key: backend_over(each) for key, each in zip(keys, connections, strict=True)}
        facts: dict[str, Facts] = {}
        failed: dict[str, CouldNotCheckError] = {}

        def settle() -> Mapping[str, Facts]:
            for key, future in futures.items():
                known = _known(future)
                if isinstance(known, CouldNotCheckError):
                    failed[key] = known
                else:
                    facts[key] = known
            return facts

        with ending_programs(), scratch("verify") as folder:
            files = write_suite(plan, folder, hygiene=options.hygiene)
            given = SessionInput(
                folder=folder,
                files=files,
                phase=phase,
                own=options.own,
                joined=options.joined,
                image=options.hygiene,
            )
            results = run_session(given, ready, settle)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    found: list[list[Result] | CouldNotCheckError] = []
    for number, (key, connection) in enumerate(zip(keys, connections, strict=True)):
        if key in facts and machines is not None:
            machines[number] = machine_of(facts[key])
        own = results.get(key, [])
        found.append(failed.get(key) or (with_diffs(plan, connection, facts[key], own) if key in facts else own))
    return found


def machine_of(facts: Facts) -> str:
    """System, kernel and image of a machine, as far as it tells: `Debian GNU/Linux 12, kernel 6.1.0, image web 1a`."""
    name = re.search(r"^PRETTY_NAME=[\"']?([^\"'\n]*)", facts.texts.get(_OS_RELEASE, ""), re.MULTILINE)
    parts = [name[1]] if name else []
    if facts.kernel:
        parts.append(f"kernel {facts.kernel}" + (" of its host" if facts.surroundings.lacks("kernel") else ""))
    with suppress(ValueError, AttributeError, TypeError):
        release = json.loads(facts.texts.get(RELEASE_PATH, ""))
        parts.append(f"image {release['name']} {release['digest'][:12]}")
    return ", ".join(parts)


def write_suite(plan: ImagePlan, folder: Path, *, hygiene: bool) -> tuple[Path, ...]:
    """The rendered tests, written to a folder."""
    paths = []
    for name, text in suite_files(plan).items():
        path = folder / name
        if hygiene or path.name != "test_image.py":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
    return tuple(paths)


def _known(future: Future[Facts]) -> Facts | CouldNotCheckError:
    try:
        return future.result()
    except CouldNotCheckError as error:
        return error
    except (GatherError, RuntimeError, OSError) as error:
        return UnreachableError(str(error))
