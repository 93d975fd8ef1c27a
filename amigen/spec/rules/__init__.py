"""What the types cannot say: combinations, and what Kubernetes and the platforms allow. Pure; one function per rule.

Each rule takes the spec and yields its findings; their lines are filled in by the loader.
"""

from __future__ import annotations

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage
from amigen.spec.rules import aws, join, kubernetes, node, nodeadm
from amigen.spec.rules.rule import Broken, Rule

RULES: tuple[Rule, ...] = (*kubernetes.RULES, *node.RULES, *join.RULES, *nodeadm.RULES, *aws.RULES)


def check(spec: NodeImage, broken: Broken | None = None) -> list[Problem]:
    """All findings of all rules.

    Args:
        spec: The spec; where a value could not be read, something stands in for it.
        broken: Those values: no finding is about them, or follows from them.
    """
    broken = broken or Broken()
    able = (rule for rule in RULES if not any(map(broken.touches, rule.needs)))
    found = (problem for rule in able for problem in rule.check(spec))
    return [problem for problem in found if not broken.touches(problem.path)]
