"""What a builder has: packages, kernels and modules."""

from __future__ import annotations

from dataclasses import dataclass

from amigen.base.errors import BuildError, CouldNotCheckError, ToolError
from amigen.build.record import Kernel
from amigen.facts import Facts, GatherError, Wanted, gather
from amigen.facts.modules import normal
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.vm.ssh import SshTarget

_LIST_PACKAGES = {
    "apt": "dpkg-query -W -f '${db:Status-Status} ${Package}:${Architecture} ${Version}\\n'",
    "dnf": "rpm -qa --qf 'installed %{NAME}.%{ARCH} %{EVR}\\n'",
}


@dataclass(frozen=True, kw_only=True)
class BuilderFacts:
    """Kernels with the modules of the plan, and all packages.

    Attributes:
        packages: Name -> version, as the package manager writes both; several versions of one name (kernels) are
            joined by a space.
    """

    kernel: Kernel
    packages: dict[str, str]


def ask_builder(plan: ImagePlan, target: SshTarget) -> BuilderFacts:
    """Ask a builder.

    Raises:
        ToolError: No connection.
        BuildError: It does not answer as a machine of the plan's family.
    """
    command = _LIST_PACKAGES[PLATFORMS[plan.platform].family]
    try:
        facts = gather(target.as_root, Wanted(modules=tuple(plan.modules), commands=(command,)))
    except CouldNotCheckError as error:
        raise ToolError(f"the builder: {error.message}", error.hint) from None
    except GatherError as error:
        raise BuildError(f"the builder did not answer: {error}") from None
    listed = facts.commands[command]
    if listed.code != 0:
        said = listed.stderr.strip() or f"code {listed.code}"
        raise BuildError(f"the builder did not list its installed packages: {said}")
    packages: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        # dpkg also lists what was removed and left its configuration.
        status, _, rest = line.partition(" ")
        name, _, version = rest.partition(" ")
        if status == "installed":
            packages[name] = f"{packages[name]} {version}" if name in packages else version
    modules = {name: _state(facts, name) for name in plan.modules}
    return BuilderFacts(
        kernel=Kernel(running=facts.kernel, installed=facts.kernels, modules=modules), packages=packages
    )


def _state(facts: Facts, module: str) -> str:
    if normal(module) in facts.loaded:
        return "loaded"
    return "built in" if facts.is_loaded(module) else "absent"


def wait_until_booted(target: SshTarget) -> None:
    """Wait as `SshTarget.wait_until_booted`; a builder that does not finish its boot is a failed build.

    Raises:
        BuildError: It does not.
    """
    try:
        target.wait_until_booted()
    except ToolError as error:
        raise BuildError(f"the builder: {error.message}", error.hint) from None
