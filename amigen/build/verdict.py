"""What a build asks of verification. The checks themselves are made elsewhere; a build only knows their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from amigen.base.errors import ChecksFailedError, CouldNotCheckError
from amigen.build.record import Outcome
from amigen.plan.model import ImagePlan
from amigen.vm.image import VmImage
from amigen.vm.ssh import SshTarget

Log = Callable[[str], None]
# What a build need not prove, and why it cannot. All else that is not provable means that the machine is not what a
# node is: without a kernel of its own, not booted by systemd.
NOT_IN_A_BUILD = {
    "test_joined[kubelet]": "there is no cluster beside a build",
    "test_cloud_init_once[user-data]": "a builder is given no user data of the spec's",
    "test_image[read-before-boot]": "the disk was not read before the boot; the cleaned builder was",
    "test_hygiene[logs]": "checking a running machine writes to its logs",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a check.

    Attributes:
        id: As in the plan, such as `test_package[ipvsadm]`.
        outcome: `not provable`: not on this machine; never counted as passed. `error`: it could not be checked.
        phase: Of a check of the image: before the first boot, after it, after a reboot.
        message: Expected, found and what to do; empty when it passed.
    """

    id: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    phase: str = ""


class Verifier(Protocol):
    """Runs the checks of a plan. Each method returns one result per check, or raises CouldNotCheckError.

    Attributes:
        keep: Leave a machine on which a check failed running until amigen is interrupted.
    """

    keep: bool

    def builder(self, plan: ImagePlan, target: SshTarget, log: Log) -> tuple[Result, ...]:
        """Checks of the running builder, after bootstrap and (on AWS) a reboot."""
        ...

    def cleaned(self, plan: ImagePlan, target: SshTarget, log: Log) -> tuple[Result, ...]:
        """Hygiene checks of the builder's own root, after the cleaning."""
        ...

    def image(self, plan: ImagePlan, image: VmImage, user: str, log: Log) -> tuple[Result, ...]:
        """Checks of a new node: a fresh boot of a local image, on a throw-away overlay."""
        ...


def require_passed(results: tuple[Result, ...], where: str) -> None:
    """Go on only with checks that passed, or of which it is known that no build can prove them.

    Raises:
        ChecksFailedError: Names each failed check, on what, expected and found.
        CouldNotCheckError: There was no result at all, or a check could not be made or proves nothing there.
    """
    count = len(results)
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        said = f"{len(failed)} of {count} checks failed on {where}; no image was kept"
        raise ChecksFailedError(said + _listed(failed))
    errors = [result for result in results if result.outcome == "error"]
    if errors:
        raise CouldNotCheckError(f"{len(errors)} of {count} checks could not run on {where}" + _listed(errors))
    unproven = [r for r in results if r.outcome == "not provable" and r.id not in NOT_IN_A_BUILD]
    if unproven:
        said = f"{len(unproven)} of {count} checks prove nothing on {where}; no image was kept"
        raise CouldNotCheckError(said + _listed(unproven), "the builder must boot a kernel of its own, with systemd")
    if not any(result.outcome == "passed" for result in results):
        raise CouldNotCheckError(f"no check passed on {where}", "no image is kept without a passed check")


def _listed(results: list[Result]) -> str:
    return "".join(f"\n  {r.id}: {_indented(r.message)}" for r in results)


def _indented(text: str) -> str:
    return "\n    ".join(line for line in text.strip().splitlines() if line.strip())
