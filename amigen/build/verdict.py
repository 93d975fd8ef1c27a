"""What a build asks of verification. The checks themselves are made elsewhere; a build only knows their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from amigen.build.record import Outcome
from amigen.errors import ChecksFailedError, CouldNotCheckError
from amigen.plan.model import ImagePlan
from amigen.vm.image import VmImage
from amigen.vm.ssh import SshTarget

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a check.

    Attributes:
        id: As in the plan, such as `test_package[ipvsadm]`.
        outcome: `not provable`: not on this machine; never counted as passed. `error`: it could not be looked at.
        phase: Of a check of the image: before the first boot, after it, after a reboot.
        message: Expected, found and what to do; empty when it passed.
    """

    id: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    phase: str = ""


class Verifier(Protocol):
    """Runs the checks of a plan. Each method returns one result per check, or raises CouldNotCheckError."""

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
    """Go on only with checks that passed.

    Raises:
        ChecksFailedError: Names each failed check, on what, expected and found.
        CouldNotCheckError: There was no result at all, or a check could not be made.
    """
    if not results:
        raise CouldNotCheckError(f"no check ran on {where}", "without a proof no image is kept")
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        lines = "".join(f"\n  {r.id}: {_indented(r.message)}" for r in failed)
        count = f"{len(failed)} of {len(results)} checks failed"
        raise ChecksFailedError(f"{count} on {where}; no image was kept{lines}")

    errors = [result for result in results if result.outcome == "error"]
    if errors:
        lines = "".join(f"\n  {r.id}: {_indented(r.message)}" for r in errors)
        raise CouldNotCheckError(f"{len(errors)} of {len(results)} checks could not be made on {where}{lines}")


def _indented(text: str) -> str:
    return "\n    ".join(line for line in text.strip().splitlines() if line.strip())
