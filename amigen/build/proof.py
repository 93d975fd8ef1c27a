"""The checks of a build, by `amigen.verify`."""

from __future__ import annotations

from dataclasses import dataclass

from amigen.build.verdict import NOT_IN_A_BUILD, Log, Result
from amigen.connections.model import Target
from amigen.connections.ssh import to_machine
from amigen.plan.make import without_cluster
from amigen.plan.model import ImagePlan
from amigen.verify.report import Result as Verified
from amigen.verify.run import Options, check_host
from amigen.verify.vm import BootOptions, verify_image
from amigen.vm.image import VmImage
from amigen.vm.ssh import SshTarget

# Looking at a running machine makes it log: who comes in, who becomes root. A local image that is off can be asked.
_NOT_WHILE_IT_RUNS = "test_hygiene[logs]"


@dataclass
class PlanVerifier:
    """See `amigen.build.verdict.Verifier`."""

    keep: bool = False

    def builder(self, plan: ImagePlan, target: SshTarget, log: Log) -> tuple[Result, ...]:
        """The checks of a node, on the builder."""
        return _on_machine(without_cluster(plan), target, hygiene=False)

    def cleaned(self, plan: ImagePlan, target: SshTarget, log: Log) -> tuple[Result, ...]:
        """The hygiene checks, on the root of the builder; the others have been made, and hold for a node only."""
        found = [result for result in _on_machine(plan, target, hygiene=True) if result.id.startswith("test_hygiene[")]
        return tuple(
            Result(id=r.id, outcome="not provable", message=NOT_IN_A_BUILD[r.id])
            if r.id == _NOT_WHILE_IT_RUNS and r.outcome == "failed"
            else r
            for r in found
        )

    def image(self, plan: ImagePlan, image: VmImage, user: str, log: Log) -> tuple[Result, ...]:
        """The image as it lies there, a node that boots from it, and that node after a reboot."""
        named = Target(text=str(image.disk), kind="image", name=str(image.disk))
        boot = BootOptions(user=user, architecture=image.architecture, keep=self.keep)
        report = verify_image(plan, named, Options(log=log), boot)
        return tuple(_result(each) for each in report.results)


def _on_machine(plan: ImagePlan, target: SshTarget, *, hygiene: bool) -> tuple[Result, ...]:
    # Use the open connection: a cleaned builder accepts no new login.
    checked = check_host(plan, to_machine(target), Options(hygiene=hygiene))
    return tuple(_result(each) for each in checked.results)


def _result(found: Verified) -> Result:
    said = {"expected": found.expected, "found": found.found, "to do": found.todo}
    lines = [f"{word}: {text}" for word, text in said.items() if text]
    return Result(
        id=found.id,
        # A test of the user's that skips itself proves as little as one that cannot run.
        outcome="not provable" if found.outcome == "skipped" else found.outcome,
        message="\n".join(lines),
        seconds=found.seconds,
        phase=found.phase,
    )
