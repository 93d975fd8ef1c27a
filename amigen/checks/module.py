"""Kernel modules: loaded, loaded at every boot, and there for every installed kernel."""

from __future__ import annotations

from typing import Self

from amigen.base.shipped import shell_library
from amigen.checks.model import Check, Level, LoadModules, Step, WriteFile
from amigen.facts.modules import MODULES_LOAD_FOLDERS, names_pattern, normal
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage


class LoadedCheck(Check, frozen=True, kw_only=True):
    """The module is loaded or built in, before any probe could have loaded it."""

    test = "test_module_loaded"
    place = 10
    level = Level.KERNEL
    needs = "kernel"
    asks = "modules"
    module: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(module=name) for name in step.modules) if isinstance(step, LoadModules) else ()

    suite = """
# Loaded or built in after every boot.
LOADED = {table}


@pytest.mark.needs_kernel
@pytest.mark.parametrize("module", LOADED)
def test_module_loaded(node, module):
    assert node.is_loaded(module), explain(
        expected=f"the module {module} is loaded or built in",
        found=node.obstacles.get(module, "it is neither"),
        todo=f"systemctl status systemd-modules-load; modprobe {module}",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "module_loaded", normal(self.module), names_pattern([self.module])

    shell = (
        r"""
module_loaded() {
	if grep -q "^$1 .* Live " /proc/modules; then return; fi
	builtin="/lib/modules/$(uname -r)/modules.builtin"
	if [ -r "$builtin" ]; then
		if grep -q "/$2\.ko" "$builtin"; then return; fi
	elif [ -d "/sys/module/$1" ]; then
		return
	fi
	echo "the module $1 is neither loaded nor built in; see systemctl status systemd-modules-load, modprobe $1"
}
""",
    )


class PersistedCheck(Check, frozen=True, kw_only=True):
    """systemd-modules-load will load the module at every boot (modules-load.d(5))."""

    test = "test_module_persisted"
    place = 30
    level = Level.BOOT_CONFIGURATION
    asks = "modules"
    module: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(module=name) for name in step.modules) if isinstance(step, WriteFile) else ()

    suite = """
# Loaded at every boot by systemd-modules-load.
PERSISTED = {table}


@pytest.mark.parametrize("module", PERSISTED)
def test_module_persisted(node, module):
    assert module in node.persisted, explain(
        expected=f"a file of modules-load.d names {module}",
        found="none does, or a file of the same name in a folder that takes precedence hides it",
        todo=BOOTSTRAP,
    )
    assert module not in node.obstacles, explain(
        expected=f"systemd-modules-load loads {module} at boot",
        found=node.obstacles[module],
        todo="remove that line or mask, then reboot",
    )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "module_persisted", normal(self.module), names_pattern([self.module])

    shell = (
        shell_library("at-boot.sh"),
        r"""
# Of files with one name only the first folder's counts, also where it is masked: modules-load.d(5).
persisted() {
	seen=/
	for dir in FOLDERS; do
		for file in "$dir"/*.conf; do
			if [ ! -e "$file" ] && [ ! -L "$file" ]; then continue; fi
			case $seen in *"/${file##*/}/"*) continue ;; esac
			seen="$seen${file##*/}/"
			if [ -f "$file" ]; then
				sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' -e '/^[#;]/d' "$file" | tr - _
				echo
			fi
		done
	done
}
""".replace("FOLDERS", " ".join(MODULES_LOAD_FOLDERS)),
        r"""
module_persisted() {
	persisted | grep -qxF "$1" || echo "no file of modules-load.d names $1: it will not be loaded at the next boot"
	skipped "$2" || :
}
""",
    )


class EveryKernelCheck(Check, frozen=True, kw_only=True):
    """Each installed kernel has the module and its dependencies, as a file or built in."""

    test = "test_module_in_every_kernel"
    place = 40
    level = Level.PACKAGES
    asks = "modules"
    module: str

    @classmethod
    def of(cls, step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Self, ...]:
        return tuple(cls(module=name) for name in step.modules) if isinstance(step, LoadModules) else ()

    suite = """
IN_EVERY_KERNEL = {table}


@pytest.mark.parametrize("module", IN_EVERY_KERNEL)
def test_module_in_every_kernel(node, module):
    if not node.kernels:
        not_provable("no kernel is installed here")
    for kernel in node.kernels:
        found = node.availability(module, kernel)
        assert found.is_available, explain(
            expected=f"the kernel {kernel} has {module} and all it depends on",
            found=f"{', '.join(found.missing)} not there" if found.missing else "it has no such module",
            todo="install the package with the modules of that kernel, then depmod -a; or remove the kernel",
        )
"""

    def call(self, platform: PlatformFact) -> tuple[str, ...]:
        return "lacking", self.module, names_pattern([self.module])

    shell = (shell_library("every-kernel.sh"),)
