"""Verify an image file: boot it in a VM on a throw-away overlay, check, reboot, check again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from amigen.base.errors import CouldNotCheckError, InputError, SizeError, ToolError
from amigen.base.interrupt import ending_programs
from amigen.build.record import read_record
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan, JoinCluster
from amigen.platforms import PLATFORMS
from amigen.spec.model import Join, NodeImage, UserData
from amigen.verify.report import Phase, Report, Result
from amigen.verify.run import Options, check_hosts, check_image_folder, make_report
from amigen.verify.target import Target

if TYPE_CHECKING:
    from amigen.vm import Machine, VmImage

IMAGE, FIRST_BOOT, REBOOT, SECOND_NODE = "image", "first boot", "after a reboot", "second node"
_IDENTITY = "cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f1,2 | sort"


@dataclass(frozen=True, kw_only=True)
class BootOptions:
    """How an image is booted.

    Attributes:
        user: Whom cloud-init lets in; None: the user that the spec or the platform names.
        user_data: Give it the spec's user data.
        reboot: Check again after a reboot.
        hygiene: Check the image before its first boot.
        twins: Boot a second node of it and compare the two; always where the image cannot be read without booting.
        architecture: Of the image; None: the spec's first.
        memory_mib: Of the VM.
    """

    user: str | None = None
    user_data: bool = True
    reboot: bool = True
    hygiene: bool = True
    twins: bool = False
    architecture: str | None = None
    memory_mib: int = 2048


def architecture_of(spec: NodeImage, disk: Path, wanted: str | None = None) -> str:
    """The architecture of an image file: what is wanted; else what its place says, as `amigen build` lays it out
    (PLATFORM-ARCHITECTURE/disk.qcow2), or a build record beside it; else the spec's only one.

    Raises:
        InputError: The spec has several, and nothing says which.
    """
    known = spec.architectures
    if wanted or len(known) == 1:
        return wanted or known[0]
    folders: dict[str, str] = {f"{platform}-{each}": each for platform in spec.platforms for each in known}
    found = folders.get(disk.parent.name) or _recorded(disk)
    if found not in known:
        raise InputError(f"{disk}: the spec has several architectures", f"choose with --architecture {'|'.join(known)}")
    return found


def _recorded(disk: Path) -> str | None:
    for folder in (disk.parent, disk.parent.parent):
        with suppress(InputError):
            images = read_record(folder / "record.json").images
            mine = [image for image in images if Path(image.file).parts[-2:] == disk.parts[-2:]] or images
            found = {image.architecture for image in mine}
            return found.pop() if len(found) == 1 else None
    return None


@dataclass
class _Run:
    """A verification in work: what it has found, and how long its parts took."""

    plan: ImagePlan
    options: Options
    results: list[Result]
    phases: list[Phase]
    notes: list[str]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.phases.append(Phase(name=name, seconds=round(time.monotonic() - begun, 3)))

    def check(self, machine: Machine, phase: str) -> None:
        from amigen.verify.backends import machine_backend

        backend = machine_backend(machine.ssh.arguments, machine.ssh.user, machine.port)
        outcome = check_hosts(without_cluster(self.plan), [backend], self.options, phase=phase)[0]
        if isinstance(outcome, CouldNotCheckError):
            raise outcome
        self.results += outcome


def verify_image(plan: ImagePlan, target: Target, options: Options, boot: BootOptions) -> Report:
    """Verify an image file; it stays as it is.

    Raises:
        InputError: It is no image, or nothing in it could be booted.
        CouldNotCheckError: It does not boot, or cannot be reached by ssh.
        ToolError: QEMU or another program is missing.
    """
    from amigen.vm import VmImage, scratch
    from amigen.vm.image import require_bootable

    started, begun = datetime.now(timezone.utc), time.monotonic()
    run = _Run(plan=plan, options=options, results=[], phases=[], notes=[])
    architecture: Any = boot.architecture or plan.architectures[0]
    image = VmImage.at(Path(target.name), architecture)
    require_bootable(image)
    with scratch("verify") as work, ThreadPoolExecutor(max_workers=1) as pool, ending_programs():
        # While the VM boots: reading the image takes seconds.
        looking = pool.submit(_look_into, plan, options, image, work) if boot.hygiene else None
        first = _first_node(run, image, boot, work)
        looked = _looked(run, looking)
        if boot.twins or (boot.hygiene and not looked):
            run.results += _twins(run, image, boot, work, first)
    seconds = time.monotonic() - begun
    return make_report(plan, target, started, seconds, run.results, phases=run.phases, notes=run.notes)


def _first_node(run: _Run, image: VmImage, boot: BootOptions, work: Path) -> str:
    """Boot, check, reboot, check; returns what makes this node unlike another."""
    with _machine(run, image, boot, work / "first") as machine:
        with run.phase(FIRST_BOOT):
            _wait(machine.wait_for_ssh)
            _wait(machine.ssh.wait_until_booted)
            run.check(machine, FIRST_BOOT)
        identity = machine.run(_IDENTITY).stdout
        if boot.reboot:
            with run.phase(REBOOT):
                _wait(machine.reboot)
                _wait(machine.ssh.wait_until_booted)
                run.check(machine, REBOOT)
    return identity


@contextmanager
def _machine(run: _Run, image: VmImage, boot: BootOptions, work: Path) -> Iterator[Machine]:
    from amigen.vm import Machine

    work.mkdir()
    named = run.plan.spec.local.bases.get(run.plan.platform)
    user = boot.user or (named.user if named and named.user else PLATFORMS[run.plan.platform].login_user)
    machine = Machine(
        image,
        work=work,
        user=user,
        user_data=_user_data(run) if boot.user_data else b"",
        memory_mib=boot.memory_mib,
        log=run.options.log,
    )
    with machine:
        yield machine


def _user_data(run: _Run) -> bytes:
    """The spec's user data, without what joins a cluster: there is none beside a VM."""
    from amigen.userdata.make import user_data

    plan = run.plan
    if plan.spec.user_data.merge is not None:
        plan = structs.replace(plan, spec=structs.replace(plan.spec, user_data=UserData()))
        _note(run, "the VM's user data leaves out what userData.merge names")
    if plan.spec.join.eks is not None:
        steps = tuple(step for step in plan.steps if not isinstance(step, JoinCluster))
        plan = structs.replace(plan, spec=structs.replace(plan.spec, join=Join()), steps=steps)
        _note(run, "the VM's user data leaves out the part that joins the cluster")
    try:
        return user_data(plan)
    except SizeError:
        _note(run, "the spec does not fit into user data: the VM was booted without")
        return b""


def _note(run: _Run, text: str) -> None:
    if text not in run.notes:
        run.notes.append(text)


def _wait(what: Callable[[], None]) -> None:
    """An image that does not come up has not been checked; its console says why."""
    try:
        what()
    except ToolError as error:
        raise CouldNotCheckError(error.message, error.hint or "does it boot, with cloud-init and sshd?") from None


def _look_into(
    plan: ImagePlan, options: Options, image: VmImage, work: Path
) -> Callable[[], tuple[list[Result], float]]:
    """Copy out what the checks look at; the checks themselves are run later, one pytest session at a time."""
    from amigen.verify.inspect import copy_folders

    begun = time.monotonic()
    place = work / "look"
    place.mkdir()
    folder = copy_folders(image, place)
    seconds = time.monotonic() - begun
    return lambda: (check_image_folder(plan, folder, options, phase=IMAGE), seconds)


def _looked(run: _Run, looking: Future[Callable[[], tuple[list[Result], float]]] | None) -> bool:
    if looking is None:
        return False
    try:
        found, seconds = looking.result()()
    except (CouldNotCheckError, ToolError) as error:
        _note(run, f"hygiene: {error.message}")
        return False
    run.results[:0] = found
    run.phases.insert(0, Phase(name=IMAGE, seconds=round(seconds, 3)))
    return True


def _twins(run: _Run, image: VmImage, boot: BootOptions, work: Path, first: str) -> list[Result]:
    """A second node of the image, and what it shares with the first."""
    with run.phase(SECOND_NODE), _machine(run, image, boot, work / "second") as machine:
        _wait(machine.wait_for_ssh)
        return compare_twins(first, machine.run(_IDENTITY).stdout)


def compare_twins(first: str, second: str) -> list[Result]:
    """Two nodes of one image: their machine-ids and host keys, as `_IDENTITY` prints them."""
    ids = [text.split("\n")[0].strip() for text in (first, second)]
    keys = [{line for line in text.split("\n")[1:] if line.strip()} for text in (first, second)]
    return [
        _twin("machine-id", {ids[0]} & {ids[1]}, there=all(ids)),
        _twin("host-keys", keys[0] & keys[1], there=all(keys)),
    ]


def _twin(what: str, shared: set[str], *, there: bool) -> Result:
    if not there:
        return Result(id=f"test_twins[{what}]", phase=SECOND_NODE, outcome="error", found=f"a node has no {what}")
    return Result(
        id=f"test_twins[{what}]",
        phase=SECOND_NODE,
        outcome="failed" if shared else "passed",
        expected=f"two nodes of the image have each their own {what}" if shared else "",
        found=f"both have {', '.join(sorted(shared))}" if shared else "",
        todo="the image holds what each node must make itself: run scripts/hygiene.sh last in the build"
        if shared
        else "",
    )
