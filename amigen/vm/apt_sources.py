"""Where this machine's apt gets a release from: the built-in base comes from the same place."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.processes import find_program
from amigen.platforms.model import Mirror, PlatformFact

# What apt must be told on this machine for these sources to work at all (a proxy, a frozen mirror).
_CARRIED = re.compile(
    r'^(Acquire::(?:(?:https?|ftp)::[Pp]roxy(?:::[^ ]+)?|Check-Valid-Until|Check-Date)) "([^"]+)";$', re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class AptSources:
    """Sources of one release.

    Attributes:
        lines: One-line style entries (sources.list(5)).
        options: apt options that go with them.
    """

    lines: tuple[str, ...]
    options: tuple[str, ...] = ()


def sources_of_mirror(fact: PlatformFact, mirror: Mirror) -> AptSources:
    """The sources of a mirror that the spec names."""
    suites = mirror.suites or fact.suites
    components = " ".join(mirror.components or fact.components)
    signed = _signed_by(mirror.gpg_key or "") or _signed_by(fact.keyring)
    return AptSources(lines=tuple(f"deb{signed} {mirror.url} {suite} {components}" for suite in suites))


def sources_of_machine(fact: PlatformFact) -> AptSources:
    """The sources that this machine's apt has for a release, with its updates and security suites.

    Where it has another release of the same distribution only, the sources are those with the name of the release
    exchanged: one archive holds all supported releases.

    Raises:
        ToolError: There is no apt here, or it has no source of this release.
    """
    apt_get = find_program("apt-get", package="apt", purpose="make the built-in base (Debian and Ubuntu machines)")
    listed = _output([apt_get, "indextargets", "--no-release-info", "Created-By: Packages"])
    targets = [_fields(stanza) for stanza in listed.split("\n\n") if stanza.strip()]
    found = _of_release(targets, fact, fact.codename)
    distribution, codename = release_of_machine()
    if not found and codename and distribution == fact.os_id:
        found = _of_release(targets, fact, codename)
    if not found:
        raise ToolError(
            f"this machine's apt has no source of {fact.title} ({fact.codename})",
            "name a base image under local.bases (a file, or a URL with its sha256), or a mirror under"
            " packageSources.mirrors",
        )
    options = _CARRIED.findall(_output(["apt-config", "dump", "Acquire"]))
    return AptSources(
        lines=tuple(f"deb{s} {uri} {release} {' '.join(sorted(set(c)))}" for (s, uri, release), c in found.items()),
        options=tuple(f'{name} "{value}"' for name, value in options),
    )


def release_of_machine() -> tuple[str, str]:
    """Distribution and codename of this machine (os-release(5)); empty where it does not say."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "", ""
    return found["ID"], found.get("VERSION_CODENAME", "")


def _of_release(
    targets: list[dict[str, str]], fact: PlatformFact, codename: str
) -> dict[tuple[str, str, str], list[str]]:
    """(keyring, URI, suite of `fact`) -> components, from the targets of `codename`; empty where it is not there."""
    suite = re.compile(rf"{re.escape(codename)}(-updates|-security)?$")
    found: dict[tuple[str, str, str], list[str]] = {}
    for target in targets:
        match = suite.match(target.get("Release", ""))
        if match and target.get("Origin", fact.os_id).lower() == fact.os_id:
            signed = _signed_by(_keyring_of(target) or fact.keyring)
            place = (signed, target["Repo-URI"], fact.codename + (match[1] or ""))
            found.setdefault(place, []).append(target["Component"])
    return found if any(name == fact.codename for _, _, name in found) else {}


def _keyring_of(target: dict[str, str]) -> str:
    """`Signed-By` of the entry, which `indextargets` does not print; empty where it is an inline key or absent."""
    file, _, number = target.get("Sourcesentry", "").rpartition(":")
    try:
        text = Path(file).read_text()
    except OSError:
        return ""
    if file.endswith(".sources"):
        uri = target["Repo-URI"].rstrip("/")
        stanzas = [s for s in re.split(r"\n\s*\n", text) if target["Release"] in s and uri in s]
        found = re.search(r"^Signed-By:[ \t]*(/\S+)[ \t]*$", stanzas[0], re.MULTILINE) if stanzas else None
    else:
        lines = text.splitlines()
        line = lines[int(number) - 1] if number.isdigit() and int(number) <= len(lines) else ""
        found = re.search(r"signed-by=(/[^\s\]]+)", line)
    return found.group(1) if found else ""


def _signed_by(keyring: str) -> str:
    return f" [signed-by={keyring}]" if keyring and Path(keyring).is_file() else ""


def _fields(stanza: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in stanza.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"cannot ask apt for this machine's package sources: {error}") from None
