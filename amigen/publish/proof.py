"""How a node is proven from afar: a script that gathers facts in one go, and a judgement of them made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from amigen.plan.model import ImagePlan


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one check.

    Attributes:
        check: Its id, such as `test_package[ipvsadm]`.
        message: Expected, found and what to do; empty where it passed.
    """

    check: str
    status: Literal["passed", "failed", "unproven"]
    message: str = ""


class Proof(Protocol):
    """Gathers and judges."""

    def script(self, plan: ImagePlan) -> str:
        """A bash script that prints facts of the node it runs on, and changes nothing."""

    def judge(self, plan: ImagePlan, facts: bytes) -> Sequence[Outcome]:
        """The outcome of every check of the plan; ValueError where the facts cannot be read."""


def node_proof() -> Proof:
    """The proof that `amigen verify` uses, too.

    Raises:
        ToolError: It is not there.
    """
    from amigen.errors import ToolError

    raise ToolError("this amigen cannot gather facts of a node", "update amigen")
