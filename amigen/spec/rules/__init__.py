"""What the types cannot say: combinations, and what Kubernetes and the platforms allow. Pure; one function per rule.

Each rule takes the spec and yields its findings; their lines are filled in by the loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from amigen.errors import Problem
from amigen.spec.model import NodeImage
from amigen.spec.rules import aws, join, kubernetes, node

Rule = Callable[[NodeImage], Iterable[Problem]]

RULES: tuple[Rule, ...] = (*kubernetes.RULES, *node.RULES, *join.RULES, *aws.RULES)


def check(spec: NodeImage) -> list[Problem]:
    """All findings of all rules."""
    return [problem for rule in RULES for problem in rule(spec)]
