"""The running kernel."""

from __future__ import annotations

from typing import Self

from amigen import knowledge
from amigen.checks.model import Check, InstallPackages, Level, Step
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class KernelVersionCheck(Check, frozen=True, kw_only=True):
    """The running kernel is at least this."""

    test = "test_kernel_version"
    place = 110
    level = Level.PACKAGES
    needs = "kernel"
    minimum: tuple[int, int]

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        nft = isinstance(step, InstallPackages) and spec.kube_proxy.mode == "nftables"
        return (cls(minimum=knowledge.NFTABLES_MIN_KERNEL),) if nft else ()

    @property
    def subject(self) -> str:
        return f"{self.minimum[0]}.{self.minimum[1]}"

    @property
    def row(self) -> tuple[int, int]:
        return self.minimum

    suite = """
# The oldest kernel that will do.
MINIMUM_KERNELS = {table}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("minimum", MINIMUM_KERNELS)
def test_kernel_version(node, minimum):
    found = tuple(int(part) for part in node.kernel.split("-")[0].split(".")[:2])
    assert found >= MINIMUM_KERNELS[minimum], explain(
        expected=f"a kernel from {minimum} on, which kube-proxy in nftables mode needs",
        found=node.kernel,
        todo="install a newer kernel, or choose a newer release of the distribution",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "kernel_from", *map(str, self.minimum)

    shell = (
        r"""
# kernel_from MAJOR MINOR
kernel_from() {
	release=$(uname -r)
	major=${release%%.*}
	minor=${release#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; } ||
		echo "the kernel should be $1.$2 or newer; it is $release"
}
""",
    )
