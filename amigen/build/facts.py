"""What a machine has: packages, kernels and modules, asked in one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amigen.base.errors import BuildError, ToolError
from amigen.vm.ssh import SshTarget

_QUERIES = {
    "apt": "dpkg-query -W -f '${db:Status-Status} ${Package}:${Architecture} ${Version}\\n'",
    # Some distributions give users that are not root an rpm database of their own, which is empty.
    "dnf": "$as_root rpm -qa --qf 'installed %{NAME}.%{ARCH} %{EVR}\\n'",
}
_SCRIPT = """\
set -e
if [ "$(id -u)" = 0 ]; then as_root=; else as_root="sudo -n"; fi
echo '== kernel'; uname -r
# A removed kernel may leave its folder, without modules.builtin.
echo '== kernels'; (cd /lib/modules && ls -1d */modules.builtin | cut -d/ -f1) 2>/dev/null || true
echo '== loaded'; cut -d' ' -f1 /proc/modules 2>/dev/null || true
echo '== builtin'; sed 's|.*/||; s|[.]ko.*||' "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null || true
echo '== packages'; {query}
echo '== end'
"""


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """Attributes:
    kernel: The running one.
    kernels: Those with modules installed.
    modules: Module -> `loaded` or `built in`, of the running kernel; names with `_`.
    packages: Name -> version, as the package manager writes both; a name may stand there twice (kernels), then the
        versions are joined by a space.
    """

    kernel: str
    kernels: tuple[str, ...]
    modules: dict[str, str]
    packages: dict[str, str]


def ask_machine(target: SshTarget, family: Literal["apt", "dnf"], timeout: float = 300) -> MachineFacts:
    """Ask a machine.

    Raises:
        ToolError: No connection.
        BuildError: It does not answer as a machine of this family.
    """
    done = target.run(_SCRIPT.format(query=_QUERIES[family]), timeout=timeout)
    try:
        return read_facts(done.stdout)
    except BuildError as error:
        raise BuildError(f"{error.message}: {done.stderr.strip() or done.stdout[-300:]}") from None


def read_facts(text: str) -> MachineFacts:
    """The answer of a machine.

    Raises:
        BuildError: It is cut, or none.
    """
    sections = _sections(text)
    if "end" not in sections or "packages" not in sections or not sections.get("kernel"):
        raise BuildError("the builder did not list its installed packages")
    modules = {name.replace("-", "_"): "built in" for name in sections.get("builtin", ())}
    modules |= dict.fromkeys(sections.get("loaded", ()), "loaded")
    packages: dict[str, str] = {}
    for line in sections["packages"]:
        # dpkg also lists what was removed and left its configuration.
        status, _, rest = line.partition(" ")
        name, _, version = rest.partition(" ")
        if status != "installed":
            continue
        packages[name] = f"{packages[name]} {version}" if name in packages else version
    return MachineFacts(
        kernel=sections["kernel"][0], kernels=tuple(sections.get("kernels", ())), modules=modules, packages=packages
    )


def wait_until_booted(target: SshTarget) -> None:
    """Wait as `SshTarget.wait_until_booted`; a builder that is never through is a failed build.

    Raises:
        BuildError: It is not.
    """
    try:
        target.wait_until_booted()
    except ToolError as error:
        raise BuildError(f"the builder: {error.message}", error.hint) from None


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = []
        elif name:
            found[name].append(line)
    return found
