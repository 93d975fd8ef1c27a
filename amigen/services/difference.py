"""A difference between a node and its cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "mode",
    "api-service",
    "dns-service",
    "missing-service",
    "scheduler",
    "affinity",
    "missing-server",
    "weight",
    "forward",
    "stale-server",
    "stale-service",
    "missing-address",
    "stale-address",
    "unreadable",
    "shared",
    "refused",
    "connections",
    "leftover",
    "setting",
]


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
