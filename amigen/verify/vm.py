"""Verify an image file, in VMs on throw-away overlays.

The first node gets user data that only lets the verifier in, so that nothing repairs what is judged. It is checked,
rebooted and checked again. The second node gets the spec's user data, which must find nothing to change.

The one idea of this long module: what one image file shows, from its disk and from two nodes of it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from amigen.base.errors import CouldNotCheckError, InputError, SizeError, ToolError
from amigen.base.interrupt import ProgramPool
from amigen.base.waiting import wait_until
from amigen.base.words import shortened
from amigen.checks.cloud_init import CloudInitOnceCheck
from amigen.checks.model import RELEASE_PATH, JoinCluster, RunHook
from amigen.connections.model import Target
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.spec.model import Join, UserData
from amigen.userdata.make import user_data
from amigen.verify.cause import OTHER_SYSTEM, evidence_script
from amigen.verify.report import Phase, Report, Result, one_line
from amigen.verify.run import Options, check_host, make_report, not_reached
from amigen.vm import Machine, VmImage, scratch
from amigen.vm.appliance import Appliance
from amigen.vm.image import require_bootable
from amigen.vm.machine import MEMORY_MIB
from amigen.vm.needs import missing_firmware, missing_for_a_vm, require_all
from amigen.vm.qemu import needs_uefi

IMAGE, FIRST_BOOT, REBOOT, SECOND_NODE = "image", "first boot", "after a reboot", "second node"
# What the bootstrap said on this node, wherever cloud-init was told to write it.
_SAID = "grep '^amigen: ' /var/log/cloud-init-output.log"
_LOGS = {
    "cloud-init": "cat /var/log/cloud-init-output.log; cat /var/log/cloud-init.log",
    "journal": "journalctl --no-pager -o short-monotonic | tail -n 20000",
}
# The one result of an image whose files could not be read before its boot; it is among the first lines of each report.
NOT_READ = "test_image[read-before-boot]"
_IDENTITY = "cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f1,2 | sort"


@dataclass
class _Part:
    """What one node, or the image file itself, showed; the parts run side by side."""

    log: Callable[[str], None] = lambda _line: None
    results: list[Result] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    identity: str | None = None
    evidence: str = ""
    machine: str = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase and tell of it; a node that does not come up is a result of it."""
        begun = time.monotonic()
        try:
            yield
        except CouldNotCheckError as error:
            self.results.append(not_reached(error, name))
        seconds = time.monotonic() - begun
        self.phases.append(Phase(name=name, seconds=round(seconds, 3)))
        own = [result.outcome for result in self.results if result.phase == name]
        said = f"{own.count('passed')} passed, {len(own) - own.count('passed')} did not"
        self.log(f"{name}: {said if own else 'done'} ({seconds:.0f} s)")


@dataclass(frozen=True, kw_only=True)
class _Proof:
    """What is verified, and how; `machines`: those that were started."""

    plan: ImagePlan
    options: Options
    image: VmImage
    work: Path
    machines: list[Machine] = field(default_factory=list)

    @contextmanager
    def machine(self, name: str, user_data: bytes) -> Iterator[Machine]:
        work = self.work / name
        work.mkdir()
        platform = self.plan.platform
        named = self.plan.spec.local.bases.get(platform)
        user = self.options.user or (named.user if named and named.user else PLATFORMS[platform].local_user)
        with Machine(self.image, work=work, user=user, user_data=user_data, log=self.options.log) as machine:
            self.machines.append(machine)
            yield machine

    def check(self, machine: Machine, plan: ImagePlan, phase: str, part: _Part) -> None:
        """Check the node; where something failed, ask it why."""
        checked = check_host(without_cluster(plan), machine.ssh.as_root, self.options, phase=phase)
        part.machine = part.machine or checked.machine
        part.results += checked.results
        if any(result.outcome == "failed" for result in checked.results):
            part.evidence += _as_root(machine, evidence_script(self.plan.modules))


def verify_image(plan: ImagePlan, target: Target, options: Options, architecture: str | None = None) -> Report:
    """Verify an image file; it stays as it is.

    Args:
        architecture: Of the image; None: the spec's first.

    Raises:
        InputError: It is no image, nothing in it could be booted, or another platform's system is in it.
        ToolError: QEMU or another program is missing.
    """
    started, begun = datetime.now(UTC), time.monotonic()
    chosen: Any = architecture or plan.architectures[0]
    image = VmImage.at(Path(target.name), chosen, uefi=plan.spec.local.firmware == "uefi")
    require_bootable(image)
    firmware = missing_firmware(chosen) if needs_uefi(image) else ()
    require_all([*missing_for_a_vm(chosen), *firmware])
    with scratch("verify") as work, ProgramPool(max_workers=_nodes_at_once() + 1) as pool:
        proof = _Proof(plan=plan, options=options, image=image, work=work)
        looking = pool.submit(_look_into, proof) if options.hygiene is not False else None
        first = pool.submit(_first_node, proof)
        second = pool.submit(_second_node, proof) if options.user_data else None
        try:
            looked = looking.result() if looking else _Part()
        except InputError:
            pool.shutdown(wait=False, cancel_futures=True)
            for started_machine in proof.machines:
                started_machine.kill()
            raise
        if second is None and looking and not looked.phases:
            second = pool.submit(_second_node, proof)
        parts = [looked, first.result(), *([second.result()] if second else [])]
    known = [part.identity for part in parts[1:] if part.identity is not None]
    if len(known) > 1:
        parts[-1].results += compare_twins(*known)
    return make_report(
        plan,
        target,
        started,
        time.monotonic() - begun,
        [result for part in parts for result in part.results],
        phases=[phase for part in parts for phase in part.phases],
        notes=[*dict.fromkeys(note for part in parts for note in part.notes)],
        evidence="\n".join(part.evidence for part in parts),
        machine=next((part.machine for part in parts if part.machine), ""),
    )


def _nodes_at_once() -> int:
    """Two nodes at once where processors and memory suffice."""
    with suppress(OSError, ValueError, IndexError):
        meminfo = Path("/proc/meminfo").read_text()
        available_mib = int(meminfo.partition("MemAvailable:")[2].split()[0]) >> 10
        return 2 if (os.cpu_count() or 1) > 1 and available_mib > 2 * MEMORY_MIB else 1
    return 1


def _first_node(proof: _Proof) -> _Part:
    """Boot without user data, check, reboot, check."""
    part, plan = _Part(log=proof.options.log), _without_user_data(proof.plan)
    with proof.machine("first", b"") as machine:
        with part.phase(FIRST_BOOT):
            _wait(machine.wait_for_ssh)
            _wait(machine.ssh.wait_until_booted)
            proof.check(machine, plan, FIRST_BOOT, part)
            part.identity = machine.run(_IDENTITY).stdout
        if proof.options.reboot and part.identity is not None:
            with part.phase(REBOOT):
                _wait(machine.reboot)
                _wait(machine.ssh.wait_until_booted)
                proof.check(machine, plan, REBOOT, part)
        _conclude(proof, machine, "first", part)
    return part


def _second_node(proof: _Proof) -> _Part:
    """Boot with the spec's user data, which must find nothing to do."""
    part = _Part(log=proof.options.log)
    document = _user_data(proof.plan, part.notes) if proof.options.user_data else b""
    with proof.machine("second", document) as machine:
        with part.phase(SECOND_NODE):
            _wait(machine.wait_for_ssh)
            part.identity = machine.run(_IDENTITY).stdout
            if document:
                _wait(machine.ssh.wait_until_booted)
                part.results.append(judge_user_data(proof.plan, _as_root(machine, _SAID)))
                proof.check(machine, proof.plan, SECOND_NODE, part)
        _conclude(proof, machine, "second", part)
    return part


def _as_root(machine: Machine, script: str) -> str:
    """What a shell script prints."""
    prefix = () if machine.ssh.user == "root" else ("sudo", "-n")
    return machine.run([*prefix, "sh", "-c", script]).stdout


def _conclude(proof: _Proof, machine: Machine, name: str, part: _Part) -> None:
    """Keep the logs of a node on which something did not pass, and the node itself where that is wanted."""
    if all(result.outcome in ("passed", "skipped") or not result.required for result in part.results):
        return
    if proof.options.logs is not None:
        folder = proof.options.logs
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            (folder / f"{name}-console.log").write_bytes(machine.console.read_bytes())
        for log, command in _LOGS.items():
            with suppress(ToolError, OSError):
                text = _as_root(machine, command)
                (folder / f"{name}-{log}.log").write_text(text, encoding="utf-8", errors="surrogateescape")
        part.notes.append(f"logs of the {name} node: {folder}/{name}-*.log")
    if proof.options.keep:
        for result in part.results:
            if result.outcome == "failed":
                proof.options.log(f"{result.id} ({result.phase}): {one_line(result.found)}")
        proof.options.log(f"the {name} node runs until Ctrl-C; enter it with: {machine.ssh.enter}")
        wait_until(lambda: not machine.running, seconds=math.inf, every=1)


def _without_user_data(plan: ImagePlan) -> ImagePlan:
    """The plan without the checks that ask for the spec's user data."""
    always = tuple(check for check in plan.always if not isinstance(check, CloudInitOnceCheck))
    return structs.replace(plan, always=always)


def _user_data(plan: ImagePlan, notes: list[str]) -> bytes:
    """The spec's user data, without what joins a cluster: there is none beside a VM."""
    if plan.spec.user_data.merge is not None:
        plan = structs.replace(plan, spec=structs.replace(plan.spec, user_data=UserData()))
        notes.append("the VM's user data leaves out what userData.merge names")
    if plan.spec.join.eks is not None:
        steps = tuple(step for step in plan.steps if not isinstance(step, JoinCluster))
        plan = structs.replace(plan, spec=structs.replace(plan.spec, join=Join()), steps=steps)
        notes.append("the VM's user data leaves out the part that joins the cluster")
    try:
        return user_data(plan)
    except SizeError:
        notes.append("the spec does not fit into user data: no node was booted with it")
        return b""


def judge_user_data(plan: ImagePlan, said: str) -> Result:
    """Whether the spec's user data changed a new node of the image.

    Args:
        plan: Its hooks that run at every boot may run.
        said: The lines of the bootstrap in cloud-init's log, each beginning with `amigen: `.
    """
    lines = [line.removeprefix("amigen: ") for line in said.splitlines() if line.startswith("amigen: ")]
    # The release is of the node, and not of its image.
    right = {f"writing {RELEASE_PATH}"} | {f"running the hook {h.name}" for h in plan.steps_of(RunHook) if not h.once}
    changes = [line for line in lines if line not in right and not line.startswith("ready: ")]
    id_, expected = "test_user_data[changes-nothing]", "the spec's user data finds nothing to do on a new node"
    if lines and not changes:
        return Result(id=id_, phase=SECOND_NODE, outcome="passed")
    found, todo = "it said nothing: cloud-init did not run it", "see /var/log/cloud-init.log of the node"
    if lines:
        found = f"it had to change the node: {shortened(changes, 10, '; ')}"
        todo = "the image is not what the spec says: build it again with amigen build"
    return Result(id=id_, phase=SECOND_NODE, outcome="failed", expected=expected, found=found, todo=todo)


def _wait(what: Callable[[], None]) -> None:
    """An image that does not come up has not been checked; its console says why."""
    try:
        what()
    except ToolError as error:
        raise CouldNotCheckError(error.message, error.hint or "does it boot, with cloud-init and sshd?") from None


def _look_into(proof: _Proof) -> _Part:
    """Check what the files of the image show, without booting it; `NOT_READ` where they cannot be read.

    That is not required: the first boot shows the same files, and `test_twins` what a builder left of its identity.
    """
    part, work = _Part(log=proof.options.log), proof.work / "appliance"
    work.mkdir()
    options = replace(proof.options, own=None, hygiene=True)
    shown = {check.id for check in proof.plan.checks if check.needs == "files"}
    try:
        with Appliance(proof.image, work=work, log=proof.options.log) as appliance, part.phase(IMAGE):
            checked = check_host(proof.plan, appliance, options, phase=IMAGE)
            if checked.other_system:
                # It may have no user that we could come in as, and would be waited for long.
                raise InputError(f"{proof.image.disk}: {checked.other_system}", OTHER_SYSTEM)
            part.results += [result for result in checked.results if result.id in shown]
            if any(result.outcome == "failed" for result in part.results):
                part.evidence = appliance.run(evidence_script(proof.plan.modules)).stdout.decode(errors="replace")
    except (CouldNotCheckError, ToolError) as error:
        unread = "the disk was not read before the boot, and so not looked at for leftovers of a builder"
        part.results.append(
            Result(
                id=NOT_READ,
                phase=IMAGE,
                outcome="not provable",
                expected="what the disk holds is checked before anything of it runs",
                found=f"{unread}: {error.message}",
                todo=error.hint,
                required=False,
            )
        )
    return part


def compare_twins(first: str, second: str) -> list[Result]:
    """Two nodes of one image: their machine-ids and host keys, as `_IDENTITY` prints them."""
    nodes = [[line.strip() for line in text.split("\n")] for text in (first, second)]
    ids, keys = ([set(filter(None, lines[part])) for lines in nodes] for part in (slice(1), slice(1, None)))
    return [_twin("machine-id", *ids), _twin("host-keys", *keys)]


def _twin(what: str, first: set[str], second: set[str]) -> Result:
    result = Result(id=f"test_twins[{what}]", phase=SECOND_NODE, outcome="passed")
    if not (first and second):
        return structs.replace(result, outcome="error", found=f"a node has no {what}")
    if not first & second:
        return result
    return structs.replace(
        result,
        outcome="failed",
        expected=f"two nodes of the image have each their own {what}",
        found=f"both have {', '.join(sorted(first & second))}",
        todo="the image holds what each node must make itself: run scripts/hygiene.sh last in the build",
    )
