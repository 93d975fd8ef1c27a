"""Verify targets: gather from all of them at once while pytest is being loaded, and run one session."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from amigen.base.errors import AmigenError, CouldNotCheckError, InputError
from amigen.base.interrupt import ProgramPool
from amigen.base.moments import rfc3339
from amigen.base.version import __version__
from amigen.checks.model import RELEASE_PATH
from amigen.connections import connect, parse_target
from amigen.connections.model import Connection, ConnectOptions, Target, UnreachableError
from amigen.facts import Facts, GatherError, Wanted, gather
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
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
    """How to verify; what stands after `log` is for image files.

    Attributes:
        own: A folder with tests of the user's; None: none.
        joined: The target must have joined its cluster.
        hygiene: Check it as an image before its first boot, too: an unpacked root, or a builder that was cleaned. None:
            image files alone.
        connect: How to connect.
        log: Receives one line for each thing that takes time.
        user: Whom cloud-init lets in; None: the user that the spec or the platform names.
        user_data: Boot a second node with the spec's user data, which must have nothing to do. Without, it boots only
            where the image cannot be read before its boot.
        reboot: Check the first node again after a reboot.
        logs: A folder for the console, the cloud-init log and the journal of a node on which a check failed.
        keep: Leave such a node running until amigen is interrupted.
    """

    own: Path | None = None
    joined: bool = False
    hygiene: bool | None = None
    connect: ConnectOptions = field(default_factory=ConnectOptions)
    log: Callable[[str], None] = lambda _line: None
    user: str | None = None
    user_data: bool = True
    reboot: bool = True
    logs: Path | None = None
    keep: bool = False


def verify_many(plan: ImagePlan, targets: Sequence[str | Target], options: Options | None = None) -> list[Report]:
    """Verify targets side by side; a report for each, also where it cannot be asked, in their order.

    For an image file see `amigen.verify.vm`.

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
    checked = [
        Checked(results=[not_reached(found)]) if isinstance(found, CouldNotCheckError) else found
        for found in check_hosts(plan, connections, options)
    ]
    seconds = time.monotonic() - begun
    phases = [Phase(name=NODE, seconds=round(seconds, 3))]
    return [
        make_report(
            plan,
            target,
            started,
            seconds,
            found.results,
            phases=phases,
            evidence=f"system {found.other_system}" if found.other_system else "",
            machine=found.machine,
        )
        for target, found in zip(parsed, checked, strict=True)
    ]


def image_among(targets: Sequence[Target]) -> Target | None:
    """The image file among the targets.

    Raises:
        InputError: There are others beside it.
    """
    images = [target for target in targets if target.kind == "image"]
    if images and len(targets) > 1:
        raise InputError("an image file is verified alone", "verify the targets one after another")
    return images[0] if images else None


def worst_of(reports: Sequence[Report], *, allow_unproven: bool) -> tuple[AmigenError | None, list[AmigenError]]:
    """The error that is the outcome, a failed check before one that could not be made, and the other errors.

    Args:
        reports: Of all targets.
        allow_unproven: A report is no error where nothing failed, and only some checks are not provable there.
    """
    found = []
    for report in reports:
        only_unproven = report.verdict == "unproven" and not report.count("error") and report.count("passed") > 0
        error = None if allow_unproven and only_unproven else report.error()
        found += [error] if error else []
    worst = min(found, key=lambda error: error.exit_code, default=None)
    return worst, [error for error in found if error is not worst]


def tests_beside(spec: str) -> Path | None:
    """The folder `checks` beside a spec, if it holds tests."""
    found = Path(spec).absolute().parent / "checks"
    return found if spec != "-" and found.is_dir() and any(found.rglob("*.py")) else None


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
        started=rfc3339(started),
        seconds=round(seconds, 3),
        verdict=verdict_of(results),
        results=results,
        phases=tuple(phases),
        notes=tuple(notes),
        causes=causes_of(results, evidence),
        machine=machine,
    )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the checks found on one host, what machine it is, and why that is not of the plan's platform."""

    results: list[Result]
    machine: str = ""
    other_system: str = ""


def check_host(plan: ImagePlan, connection: Connection, options: Options, *, phase: str = NODE) -> Checked:
    """As `check_hosts`, of one host.

    Raises:
        CouldNotCheckError: It did not answer.
    """
    [found] = check_hosts(plan, [connection], options, phase=phase)
    if isinstance(found, CouldNotCheckError):
        raise found
    return found


def check_hosts(
    plan: ImagePlan, connections: Sequence[Connection], options: Options, *, phase: str = NODE
) -> list[Checked | CouldNotCheckError]:
    """Gather from the hosts and run the node's tests on what was gathered; for each host what came of it."""
    wanted = Wanted.of(facts_of(plan)) | Wanted(texts=(_OS_RELEASE, RELEASE_PATH))
    run = secrets.token_hex(4)
    hosts = {f"{run}-{number}": connection for number, connection in enumerate(connections)}
    known: dict[str, Facts | CouldNotCheckError] = {}
    with ProgramPool(max_workers=min(_AT_ONCE, max(1, len(hosts)))) as pool, scratch("verify") as folder:
        futures = {key: pool.submit(gather, connection, wanted) for key, connection in hosts.items()}

        def settle() -> Mapping[str, Facts]:
            known.update((key, _known(future)) for key, future in futures.items())
            return {key: facts for key, facts in known.items() if isinstance(facts, Facts)}

        given = SessionInput(
            folder=folder,
            files=write_suite(plan, folder, hygiene=options.hygiene is True),
            phase=phase,
            joined=options.joined,
            image=options.hygiene is True,
        )
        backends = {key: backend_over(each) for key, each in hosts.items()}
        results = run_session(given, backends, settle)
        if options.own:
            theirs = replace(given, folder=options.own, files=(options.own,), own=True)
            for key, more in run_session(theirs, backends, settle).items():
                results.setdefault(key, []).extend(more)
    found: list[Checked | CouldNotCheckError] = []
    for key, connection in hosts.items():
        facts, own = known.get(key), results.get(key, [])
        if isinstance(facts, Facts):
            own = with_diffs(plan, connection, facts, own)
            found.append(Checked(results=own, machine=machine_of(facts), other_system=_other_system(plan, facts)))
        else:
            found.append(facts or Checked(results=own))
    return found


def machine_of(facts: Facts) -> str:
    """System, kernel and image of a machine, as far as it tells: `Debian GNU/Linux 12, kernel 6.1.0, image web 1a`."""
    name = _os_release(facts).get("PRETTY_NAME")
    parts = [name] if name else []
    if facts.kernel:
        parts.append(f"kernel {facts.kernel}" + (" of its host" if facts.surroundings.lacks("kernel") else ""))
    with suppress(ValueError, AttributeError, TypeError):
        release = json.loads(facts.texts.get(RELEASE_PATH, ""))
        parts.append(f"image {release['name']} {release['digest'][:12]}")
    return ", ".join(parts)


def _os_release(facts: Facts) -> dict[str, str]:
    """The assignments of os-release(5)."""
    return dict(re.findall(r"^(\w+)=[\"']?([^\"'\n]*)", facts.texts.get(_OS_RELEASE, ""), re.MULTILINE))


def _other_system(plan: ImagePlan, facts: Facts) -> str:
    """As the bootstrap refuses it (`begin`); empty where the system is the plan's, or tells nothing."""
    said, wanted = _os_release(facts), PLATFORMS[plan.platform]
    if not said.get("ID") or (said["ID"], said.get("VERSION_ID")) == (wanted.os_id, wanted.os_version):
        return ""
    return f"this is {said.get('PRETTY_NAME') or said['ID']}, and the spec is for {wanted.title}"


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
