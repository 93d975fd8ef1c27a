"""Hooks."""

from __future__ import annotations

import hashlib
from typing import Self

from amigen.checks.model import Check, Level, RunHook, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage

STAMPS = "/var/lib/amigen/hooks"


class HookCheck(Check, frozen=True, kw_only=True):
    """A hook script with this very content has run to its end on this node or its image."""

    test = "test_hook"
    place = 80
    level = Level.FILES
    name: str
    sha256: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        if not isinstance(step, RunHook):
            return ()
        return (cls(name=step.name, sha256=hashlib.sha256(step.script.encode()).hexdigest()),)

    @property
    def stamp(self) -> str:
        """The file in which a hook that has run to its end leaves the sha256 of its script."""
        return f"{STAMPS}/{self.name}.sha256"

    @property
    def wanted(self) -> Wanted:
        return Wanted(texts=(self.stamp,))

    suite = """
# A hook that has run to its end leaves the sha256 of its script here.
HOOK_STAMPS = "/var/lib/amigen/hooks"
# Hook -> sha256 of its script.
HOOKS = {table}


@pytest.mark.parametrize("name", HOOKS)
def test_hook(node, name):
    stamp = node.texts.get(f"{HOOK_STAMPS}/{name}.sha256")
    assert stamp is not None, explain(
        expected=f"the hook {name} has run to its end", found="it has not", todo=BOOTSTRAP
    )
    ran = stamp.strip()
    assert ran == HOOKS[name], explain(
        expected=f"the hook {name} has run, script {HOOKS[name]}", found=f"script {ran} has run", todo=BOOTSTRAP
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "hook_has_run", self.name, self.stamp, self.sha256

    shell = (
        r"""
hook_has_run() {
	if [ ! -f "$2" ]; then
		echo "the hook $1 has not run to its end"
	elif [ "$(cat "$2")" != "$3" ]; then
		echo "another script has run as the hook $1"
	fi
}
""",
    )
