"""The checks of a build, by `amigen.verify`, and whether it goes on with their results."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from amigen.base.errors import ChecksFailedError, CouldNotCheckError
from amigen.build.record import CheckRecord, When
from amigen.connections.model import Target
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan
from amigen.verify.report import Result
from amigen.verify.run import Options, check_host
from amigen.verify.vm import verify_image
from amigen.vm.image import VmImage
from amigen.vm.ssh import SshTarget

# Looking at a running machine makes it log: who comes in, who becomes root. A local image that is off can be asked.
_NOT_WHILE_IT_RUNS = "test_hygiene[logs]"
# What a build need not prove, and why it cannot. All else that is not provable means that the machine is not what a
# node is: without a kernel of its own, not booted by systemd.
NOT_IN_A_BUILD = {
    "test_joined[kubelet]": "there is no cluster beside a build",
    "test_cloud_init_once[user-data]": "a builder is given no user data of the spec's",
    "test_image[read-before-boot]": "the disk was not read before the boot; the cleaned builder was",
    _NOT_WHILE_IT_RUNS: "checking a running machine writes to its logs",
}


def check_builder(plan: ImagePlan, target: SshTarget) -> tuple[CheckRecord, ...]:
    """The checks of a node, on the running builder, after bootstrap and (on AWS) a reboot."""
    return _on_machine(without_cluster(plan), target, "builder")


def check_cleaned(plan: ImagePlan, target: SshTarget) -> tuple[CheckRecord, ...]:
    """The checks of an image, on the root of the builder; the others have been made, and hold for a node only."""
    only = structs.replace(plan, steps=(), always=tuple(check for check in plan.checks if check.image))
    return tuple(
        CheckRecord(id=each.id, when="cleaned", outcome="not provable", message=NOT_IN_A_BUILD[each.id])
        if each.id == _NOT_WHILE_IT_RUNS and each.outcome == "failed"
        else each
        for each in _on_machine(only, target, "cleaned")
    )


def check_image(
    plan: ImagePlan, image: VmImage, user: str, *, keep: bool, log: Callable[[str], None]
) -> tuple[CheckRecord, ...]:
    """The image as it lies there, a node that boots from it, and that node after a reboot."""
    named = Target(text=str(image.disk), kind="image", name=str(image.disk))
    report = verify_image(plan, named, Options(log=log, user=user, keep=keep), image.architecture)
    return tuple(check_record(each, "image") for each in report.results)


def _on_machine(plan: ImagePlan, target: SshTarget, when: When) -> tuple[CheckRecord, ...]:
    # Use the open connection: a cleaned builder accepts no new login.
    checked = check_host(plan, target.as_root, Options(hygiene=when == "cleaned"))
    return tuple(check_record(each, when) for each in checked.results)


def check_record(found: Result, when: When) -> CheckRecord:
    """The result of a check, for the build record."""
    return CheckRecord(
        id=found.id,
        when=when,
        # A test of the user's that skips itself proves as little as one that cannot run.
        outcome="not provable" if found.outcome == "skipped" else found.outcome,
        message="\n".join(f"{label}: {text}" for label, text in found.explanation if label != "diff"),
        seconds=found.seconds,
        phase=found.phase,
    )


def require_passed(checks: tuple[CheckRecord, ...], where: str) -> None:
    """Go on only with checks that passed, or of which it is known that no build can prove them.

    Raises:
        ChecksFailedError: Names each failed check, on what, expected and found.
        CouldNotCheckError: There was no result at all, or a check could not be made or proves nothing there.
    """
    count = len(checks)
    failed = [check for check in checks if check.outcome == "failed"]
    if failed:
        said = f"{len(failed)} of {count} checks failed on {where}; no image was kept"
        raise ChecksFailedError(said + _listed(failed))
    errors = [check for check in checks if check.outcome == "error"]
    if errors:
        raise CouldNotCheckError(f"{len(errors)} of {count} checks could not run on {where}" + _listed(errors))
    unproven = [check for check in checks if check.outcome == "not provable" and check.id not in NOT_IN_A_BUILD]
    if unproven:
        said = f"{len(unproven)} of {count} checks prove nothing on {where}; no image was kept"
        raise CouldNotCheckError(said + _listed(unproven), "the builder must boot a kernel of its own, with systemd")
    if not any(check.outcome == "passed" for check in checks):
        raise CouldNotCheckError(f"no check passed on {where}", "no image is kept without a passed check")


def _listed(checks: list[CheckRecord]) -> str:
    return "".join(f"\n  {check.id}: {_indented(check.message)}" for check in checks)


def _indented(text: str) -> str:
    return "\n    ".join(line for line in text.strip().splitlines() if line.strip())
