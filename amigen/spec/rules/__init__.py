"""Rules for combinations of fields, and for what Kubernetes and the platforms allow. Pure; one function per rule.

Each rule takes the spec and yields its findings; the loader fills in their lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from amigen.base.errors import Problem
from amigen.spec.model import NodeImage
from amigen.spec.rules import aws, join, kubernetes, node, nodeadm
from amigen.spec.rules.rule import Rule

RULES = tuple(
    each
    for module in (kubernetes, node, join, nodeadm, aws)
    for each in vars(module).values()
    if isinstance(each, Rule)
)


def check(spec: NodeImage, unreadable: Iterable[str] = ()) -> list[Problem]:
    """All findings of all rules.

    Args:
        spec: The spec, with empty values where the document cannot be read.
        unreadable: Key paths of these values. No finding is about them, and rules that need them do not run.
    """
    bad = frozenset(unreadable)
    holders = {holder for path in bad for holder in _holders(path)}

    def certain(path: str) -> bool:
        return path not in holders and not any(each in bad for each in (path, *_holders(path)))

    return [
        problem
        for rule in RULES
        if all(map(certain, rule.needs))
        for problem in rule.check(spec)
        if certain(problem.path)
    ]


def _holders(path: str) -> list[str]:
    """The key paths of the values that contain the one at `path`: `a` and `a.b` for `a.b[0]`."""
    return [path[: separator.start()] for separator in re.finditer(r"[.\[]", path)]
