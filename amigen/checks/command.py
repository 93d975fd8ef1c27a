"""Commands."""

from __future__ import annotations

import shlex
from typing import Self

from amigen.checks.model import Check, InstallPackages, Level, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class CommandCheck(Check, frozen=True, kw_only=True):
    """A command is on the node and runs: `nft --version` answers."""

    test = "test_command"
    place = 60
    level = Level.FILES
    command: str
    argument: str = "--version"

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        nft = isinstance(step, InstallPackages) and spec.kube_proxy.mode == "nftables"
        return (cls(command="nft"),) if nft else ()

    @property
    def wanted(self) -> Wanted:
        return Wanted(commands=(shlex.join((self.command, self.argument)),))

    suite = """
# Command -> an argument with which it answers and does nothing.
COMMANDS = {table}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(node, command):
    done = node.answer(command, COMMANDS[command])
    assert done.code == 0, explain(
        expected=f"{command} {COMMANDS[command]} ends with 0",
        found=f"it ended with {done.code}: {done.stderr.strip() or done.stdout.strip()}",
        todo=f"install the package that has {command}",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "runs", self.command, self.argument

    shell = (
        r"""
runs() {
	"$1" "$2" >/dev/null 2>&1 || echo "$1 $2 ended with $?"
}
""",
    )
