"""What a comparison of a node with its cluster finds, and the differences that every mode of kube-proxy can have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "mode", "api-service", "dns-service", "missing-service", "scheduler", "affinity", "missing-server", "weight",
    "forward", "stale-server", "stale-service", "missing-address", "stale-address", "unreadable", "shared",
    "refused", "connections", "leftover", "setting",
]  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        subject: What it is about; with `kind` the identity under which a watch follows it.
        says: What is and what should be.
        why: What it means, or what commonly causes it.
    """

    kind: Kind
    subject: str
    says: str
    why: str


@dataclass(kw_only=True)
class Findings:
    """What is as it should be, in words; what is not; and what is worth knowing and is no difference."""

    facts: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differs(self, kind: Kind, subject: str, says: str, why: str) -> None:
        """Add a difference."""
        self.differences.append(Difference(kind, subject, says, why))

    def right(self, text: str, *against: Kind) -> None:
        """Add a fact that no difference of these kinds contradicts."""
        if not any(one.kind in against for one in self.differences):
            self.facts.append(text)

    def extend(self, other: Findings) -> None:
        """Add what another comparison has found."""
        self.facts += other.facts
        self.differences += other.differences
        self.notes += other.notes

    def missing_server(self, subject: str, service: str, endpoint: str) -> None:
        """A service, as messages call it, that lacks an endpoint."""
        says = f"{service} lacks the endpoint {endpoint}"
        why = "connections do not reach this endpoint; kube-proxy lags behind, or something edited its rules"
        self.differs("missing-server", f"{subject} -> {endpoint}", says, why)

    def stale_server(self, subject: str, service: str, endpoint: str, owner: str, *, known: bool) -> None:
        """A service that sends to what it must not; `known`: an endpoint of its owner that this node does not use."""
        which = f"is no endpoint of {owner}"
        why = "connections go to an address that is gone or belongs to another pod"
        if known:
            which = "this node must not use: it is not ready, or traffic policy or topology hints exclude it"
            why = "connections go to an endpoint that cannot or must not take them"
        says = f"{service} still sends to {endpoint}, which {which}"
        self.differs("stale-server", f"{subject} -> {endpoint}", says, why)

    def wrong_affinity(self, subject: str, service: str, has: str, wanted: int | None) -> None:
        """A service that keeps clients for another time than its Service says."""
        says = "no session affinity" if wanted is None else f"ClientIP for {wanted} s"
        why = "clients stay with their endpoint longer or shorter than the Service promises"
        self.differs("affinity", subject, f"{service} is {has}, the Service says {says}", why)
