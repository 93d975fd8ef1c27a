"""What files make of a node at its next boot, against the spec: options of modules and kernel parameters."""

from __future__ import annotations

from typing import Self

from amigen.checks.model import ApplySysctls, Check, Level, LoadModules, Step
from amigen.checks.sysctl import sysctl_path
from amigen.facts.sysctls import CAT_SYSCTLS
from amigen.facts.wanted import Wanted
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage

# modprobe's own reader of modprobe.d and of the kernel command line; 127 where it is not there.
IPVS_OPTIONS = "command -v modprobe >/dev/null || exit 127; modprobe -c 2>/dev/null | grep '^options ip_vs '; true"


class ModuleOptionCheck(Check, frozen=True, kw_only=True):
    """No file of modprobe.d sets another value of the option; with two, their order decides."""

    test = "test_module_option"
    place = 35
    level = Level.BOOT_CONFIGURATION
    option: str
    value: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        if not isinstance(step, LoadModules) or step.conn_tab_bits is None:
            return ()
        return (cls(option="conn_tab_bits", value=str(step.conn_tab_bits)),)

    @property
    def row(self) -> str:
        return self.value

    @property
    def wanted(self) -> Wanted:
        return Wanted(commands=(IPVS_OPTIONS,))

    suite = f"""
# Option of ip_vs -> its value.
MODULE_OPTIONS = {{table}}
IPVS_OPTIONS = {IPVS_OPTIONS!r}


@pytest.mark.parametrize("option", MODULE_OPTIONS)
def test_module_option(node, option):
    done = node.commands[IPVS_OPTIONS]
    if done.code == 127:
        not_provable("there is no modprobe that would read modprobe.d")
    words = [word.partition("=") for word in done.stdout.replace("-", "_").split()]
    values = {{value for name, _, value in words if name == option}}
    assert values == {{MODULE_OPTIONS[option]}}, explain(
        expected=f"modprobe loads ip_vs with {{option}}={{MODULE_OPTIONS[option]}}",
        found=done.stdout.strip() or "no file of modprobe.d sets it",
        todo=f"grep -r {{option}} /etc/modprobe.d /usr/lib/modprobe.d; remove the other line",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "module_option", "ip_vs", self.option, self.value

    shell = (
        r"""
module_option() {
	command -v modprobe >/dev/null || return 0
	found=$(modprobe -c 2>/dev/null | grep "^options $1 " | tr ' -' '\n_' | sed -n "s/^$2=//p" | sort -u)
	[ "$found" = "$3" ] || echo "modprobe loads $1 with $2=$(echo "${found:-nothing}" | tr '\n' ' '), and not with $3"
}
""".replace("\\n", "\n"),
    )


class SysctlAtBootCheck(Check, frozen=True, kw_only=True):
    """Of the files that systemd-sysctl reads at boot, the last that sets a kernel parameter sets this value."""

    test = "test_sysctl_at_boot"
    place = 36
    level = Level.BOOT_CONFIGURATION
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
        return Wanted(commands=(CAT_SYSCTLS,))

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
        return "sysctl_at_boot", self.key, *self.row

    shell = (
        r"""
# sysctl_at_boot KEY PATH VALUE: by the last file that sets it. a.b/c is a/b.c; a key may be a pattern.
sysctl_at_boot() {
	for program in /usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl; do
		if [ -x "$program" ]; then break; fi
	done
	[ -x "$program" ] || return 0
	found=$("$program" --cat-config | awk -v path="$2" '
		/^# [^ ]*sysctl[^ ]*[.]conf$/ { file = $2 }
		/^[ 	]*[#;]/ || !/=/ { next }
		{
			key = value = $0
			sub(/[ 	]*=.*/, "", key)
			sub(/^[ 	]*-?/, "", key)
			sub(/^[^=]*=[ 	]*/, "", value)
			gsub(/[ 	]+/, " ", value)
			sub(/ $/, "", value)
			if (key ~ /^[^.\/]*[.]/) {
				gsub("/", ":", key)
				gsub("[.]", "/", key)
				gsub(":", ".", key)
			}
			gsub("[.]", "[.]", key)
			gsub("[*]", "[^/]*", key)
			if (path ~ "^/proc/sys/" key "$") last = value " by " file
		}
		END { print last }')
	[ "${found% by *}" = "$3" ] || echo "$1 should be set to $3 at boot; it is set to ${found:-nothing}"
}
""",
    )
