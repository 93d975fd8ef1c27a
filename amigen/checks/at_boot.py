"""What files make of a node at its next boot, against the spec: options of modules and kernel parameters."""

from __future__ import annotations

from typing import Self

from amigen.base.shipped import shell_library
from amigen.checks.model import ApplySysctls, Check, Level, LoadModules, Step
from amigen.checks.sysctl import sysctl_path
from amigen.facts.sysctls import CAT_SYSCTLS
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class ModuleOptionCheck(Check, frozen=True, kw_only=True):
    """No file of modprobe.d sets another value of the option; with two, their order decides."""

    test = "test_module_option"
    place = 35
    level = Level.BOOT_CONFIGURATION
    wanted = Wanted(modules=("ip_vs",))
    option: str
    value: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        if not isinstance(step, LoadModules) or step.conn_tab_bits is None:
            return ()
        return (cls(option="conn_tab_bits", value=str(step.conn_tab_bits)),)

    suite = """
# Option of ip_vs -> its value.
MODULE_OPTIONS = {table}


@pytest.mark.parametrize("option", MODULE_OPTIONS)
def test_module_option(node, option):
    settings = [line for line in node.option_settings if f" sets {option}=" in line]
    assert {line.rpartition("=")[2] for line in settings} == {MODULE_OPTIONS[option]}, explain(
        expected=f"modprobe loads ip_vs with {option}={MODULE_OPTIONS[option]}",
        found="; ".join(settings) or "no file of modprobe.d sets it",
        todo=f"grep -r {option} /etc/modprobe.d /usr/lib/modprobe.d; remove the other line",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "module_option", self.option, self.value

    shell = (
        shell_library("at-boot.sh"),
        shell_library("table-at-boot.sh"),
        r"""
module_option() {
	settings=$(table_at_boot)
	[ -n "$settings" ] || echo "no file of modprobe.d sets $1"
	printf '%s\n' "$settings" | grep -v "=$2\$" || :
}
""",
    )


class SysctlAtBootCheck(Check, frozen=True, kw_only=True):
    """Of the files that systemd-sysctl reads at boot, the last that sets a kernel parameter sets this value."""

    test = "test_sysctl_at_boot"
    place = 36
    level = Level.BOOT_CONFIGURATION
    wanted = Wanted(commands=(CAT_SYSCTLS,))
    key: str
    value: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(key=k, value=v) for k, v in step.values) if isinstance(step, ApplySysctls) else ()

    @property
    def row(self) -> tuple[str, str]:
        return sysctl_path(self.key), " ".join(self.value.split())

    suite = """
# Kernel parameter -> its path, and the value that is set at boot.
SYSCTLS_AT_BOOT = {table}


@pytest.mark.parametrize("key", SYSCTLS_AT_BOOT)
def test_sysctl_at_boot(node, key):
    path, value = SYSCTLS_AT_BOOT[key]
    if not node.knows_sysctls_at_boot:
        not_provable("there is no systemd-sysctl that would read sysctl.d")
    said, file = node.sysctl_at_boot(path) or ("not set", "no file of sysctl.d")
    assert said == value, explain(
        expected=f"{key} is set to {value} at boot", found=f"{file}: {said}", todo=f"remove the line of {file}"
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "sysctl_at_boot", *self.row

    shell = (shell_library("sysctl-at-boot.sh"),)
