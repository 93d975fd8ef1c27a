"""Kernel parameters."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import ApplySysctls, Check, Level, Step
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class SysctlCheck(Check, frozen=True, kw_only=True):
    """A kernel parameter has this value; white space inside is folded as the kernel does."""

    test = "test_sysctl"
    place = 100
    level = Level.KERNEL
    needs = "kernel"
    key: str
    value: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(key=k, value=v) for k, v in step.values) if isinstance(step, ApplySysctls) else ()

    @property
    def row(self) -> tuple[str, str]:
        return sysctl_path(self.key), " ".join(self.value.split())

    @property
    def wanted(self) -> Wanted:
        return Wanted(settings=(sysctl_path(self.key),))

    suite = """
# Kernel parameter -> where the kernel shows it, and its value; white space inside counts as one space.
SYSCTLS = {table}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("key", SYSCTLS)
def test_sysctl(node, key):
    path, value = SYSCTLS[key]
    said = node.settings.get(path)
    assert said is not None and " ".join(said.split()) == value, explain(
        expected=f"{key} is {value}",
        found=f"there is no {path}" if said is None else f"it is {' '.join(said.split())}",
        todo="sysctl --system says which file sets it; the last one wins",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "setting", self.key, *self.row

    shell = (
        r"""
# setting KEY PATH VALUE: white space inside counts as one space.
setting() {
	# shellcheck disable=SC2046 # the words, without what is between them
	found=$(set -f && set -- $(cat -- "$2") && echo "$*")
	[ "$found" = "$3" ] || echo "$1 should be $3; it is ${found:-not there}"
}
""",
    )


def sysctl_path(name: str) -> str:
    """`net.ipv4.conf.eth0/1.x` -> `/proc/sys/net/ipv4/conf/eth0.1/x`."""
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))
