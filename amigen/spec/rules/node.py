"""What is put on the node: packages, files, sysctls, hooks, package sources."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from amigen import knowledge
from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.model import File, NodeImage
from amigen.spec.paths import key_path
from amigen.spec.rules.rule import duplicates, not_of_spec, problem, rule, warning

# Where amigen writes itself; a file of the user's there would fight it.
OWN_PATHS = (
    "/etc/amigen",
    "/var/lib/amigen",
    "/usr/local/lib/amigen",
    "/run/amigen",
    "/etc/modules-load.d/ipvs.conf",
    "/etc/modules-load.d/amigen.conf",
    "/etc/modprobe.d/amigen-ipvs.conf",
    "/etc/sysctl.d/90-amigen.conf",
    "/etc/systemd/system/amigen-ready.service",
    "/etc/apt/sources.list.d/amigen.sources",
    "/etc/yum.repos.d/amigen.repo",
)
_DROP_IN = "10-amigen-ready.conf"
# A copy of an earlier file is kept as NAME.~N~; NAME_MAX is 255.
_LONGEST_NAME = 230
# Not kept by a reboot, or by the image.
_VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/run")  # noqa: S108 - named, not used


@rule()
def doubles(spec: NodeImage) -> Iterator[Problem]:
    """Lists without duplicates."""
    lists: tuple[tuple[str, Iterable[object]], ...] = (
        ("platforms", spec.platforms),
        ("architectures", spec.architectures),
        ("modules.extra", [m.replace("-", "_") for m in spec.modules.extra]),
        ("packageSources.noProxy", spec.package_sources.no_proxy),
        ("join.eks.kubelet.taints", spec.join.eks.kubelet.taints if spec.join.eks else ()),
        ("aws.copyRegions", spec.aws.copy_regions),
        ("aws.share.accounts", spec.aws.share.accounts),
        ("aws.share.organizations", spec.aws.share.organizations),
        ("aws.share.organizationalUnits", spec.aws.share.organizational_units),
    )
    for path, values in lists:
        for index, value, first in duplicates(values):
            yield problem(f"{path}[{index}]", f"duplicate value: {value} (also {path}[{first}])", "remove one")


@rule()
def packages(spec: NodeImage) -> Iterator[Problem]:
    """A package is listed once for each platform."""
    first: dict[tuple[str, str], int] = {}
    for index, package in enumerate(spec.packages):
        for platform in dict.fromkeys(package.platforms or spec.platforms):
            if (package.name, platform) in first:
                message = f"{package.name} is listed twice (also packages[{first[package.name, platform]}])"
                yield problem(f"packages[{index}].name", message, "remove one")
                break
            first[package.name, platform] = index


@rule("platforms")
def package_platforms(spec: NodeImage) -> Iterator[Problem]:
    """A package is for platforms of the spec."""
    for index, package in enumerate(spec.packages):
        for platform in package.platforms:
            yield from not_of_spec(spec, platform, f"packages[{index}].platforms")


@rule()
def files(spec: NodeImage) -> Iterator[Problem]:
    """Each file has one content and a place of its own that lasts."""
    first: dict[str, int] = {}
    folders: dict[str, int] = {}
    for index, file in enumerate(spec.files):
        where = f"files[{index}]"
        yield from _content(file, where)
        yield from _place(file.path, f"{where}.path")
        if file.path in first:
            yield problem(
                f"{where}.path", f"{file.path} is written twice (also files[{first[file.path]}])", "remove one"
            )
        above = [file.path[:end] for end, sign in enumerate(file.path) if sign == "/" and end]
        others = [first[folder] for folder in above if folder in first]
        for other in [*others, *([folders[file.path]] if file.path in folders else ())]:
            message = f"{file.path} and {spec.files[other].path} (files[{other}]) cannot both be files"
            yield problem(f"{where}.path", message, "one is the folder of the other")
        first.setdefault(file.path, index)
        for folder in above:
            folders.setdefault(folder, index)


@rule()
def private_files(spec: NodeImage) -> Iterator[Problem]:
    """The bootstrap in user data holds all files, and user data is no place for secrets.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html (user data is not protected by
    authentication or cryptographic methods)
    """
    for index, file in enumerate(spec.files):
        if file.mode[-1:] in ("0", "1", "2", "3"):  # others cannot read it
            yield warning(
                f"files[{index}].mode",
                (
                    f"{file.path} has mode {file.mode}, but its content is in the user data: everybody who may"
                    " describe the instance or its launch template can read it"
                ),
                "fetch secrets on the node, such as from Secrets Manager in a hook",
            )


def _place(path: str, where: str) -> Iterator[Problem]:
    names = path.split("/")
    if {".", ".."} & set(names):
        yield problem(where, "contains `.` or `..`", "write the plain path")
    elif max(len(name.encode()) for name in names) > _LONGEST_NAME:
        yield problem(where, "contains a file name that is too long", f"at most {_LONGEST_NAME} bytes between two `/`")
    elif own := _own(path):
        yield problem(where, f"{own} is written by amigen itself", "choose another name")
    elif gone := next((folder for folder in _VOLATILE if _is_in(path, folder)), None):
        message = f"{gone} is volatile: a file there is gone after a reboot"
        yield problem(where, message, "write it elsewhere, or make it with tmpfiles.d")


def _own(path: str) -> str | None:
    if _is_in(path, "/etc/systemd/system") and path.endswith(f"/{_DROP_IN}"):
        return path
    return next((own for own in OWN_PATHS if _is_in(path, own)), None)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _content(file: File, where: str) -> Iterator[Problem]:
    if (file.content is None) == (file.content_base64 is None):
        found = "both are set" if file.content is not None else "neither is set"
        yield problem(where, f"needs content or contentBase64; {found}", "set exactly one")
    if file.content_base64 is not None:
        try:
            base64.b64decode(file.content_base64, validate=True)
        except ValueError as error:
            yield problem(f"{where}.contentBase64", f"is not base64: {error}", "`base64 -w0 FILE`")


@rule()
def sysctls(spec: NodeImage) -> Iterator[Problem]:
    """Each once, and kube-proxy's own kernel parameters are its own."""
    first: dict[str, str] = {}
    for key in spec.sysctls:
        where = key_path("sysctls", key)
        name = sysctl_name(key)
        if name in first:
            yield problem(where, f"{name} is set twice (also as {first[name]})", "remove one")
        first.setdefault(name, key)
        reason = knowledge.KUBE_PROXY_SYSCTLS.get(name)
        if reason or name.startswith("net.ipv4.vs."):
            why = reason or "it exists only once ip_vs is loaded, and kube-proxy owns this part"
            message = f"{name} must not be set by an image: {why}"
            yield problem(where, message, "remove it", "kubernetes pkg/proxy/ipvs/proxier.go")
        if setting := knowledge.KUBE_PROXY_CONNTRACK_SYSCTLS.get(name):
            message = f"kube-proxy sets {name} at its start"
            yield warning(where, message, f"leave it to {setting} of kube-proxy's configuration, or set that to 0")


# The name of an interface, in place of which the list has `default`.
_INTERFACE = re.compile(r"^(net\.ipv[46]\.(?:conf|neigh)\.)[^.]+(?=\.)")


@rule()
def known_sysctls(spec: NodeImage) -> Iterator[Problem]:
    """A key that no kernel knows, and that is nearly one that it knows, is a slip: the bootstrap would fail at it."""
    for key in spec.sysctls:
        name = _INTERFACE.sub(r"\1default", sysctl_name(key))
        near = [] if name in _sysctls() else get_close_matches(name, _sysctls(), n=1, cutoff=0.9)
        if near:
            message = f"unknown kernel parameter {sysctl_name(key)}"
            yield warning(key_path("sysctls", key), message, f"did you mean {near[0]}?")


@cache
def _sysctls() -> tuple[str, ...]:
    listed = Path(__file__).parent.with_name("sysctls.txt").read_text(encoding="utf-8")
    return tuple(line for line in listed.splitlines() if not line.startswith("#"))


@rule("modules.extra")
def bridge_sysctls(spec: NodeImage) -> Iterator[Problem]:
    """Kernel parameters of bridges come with a module."""
    if "br_netfilter" in {m.replace("-", "_") for m in spec.modules.extra}:
        return
    for key in spec.sysctls:
        if sysctl_name(key).startswith("net.bridge."):
            message = f"{sysctl_name(key)} exists only once br_netfilter is loaded"
            yield problem(key_path("sysctls", key), message, "add br_netfilter to modules.extra")


def sysctl_name(key: str) -> str:
    """The dotted name: in a key whose first separator is `/`, dots and slashes change places (sysctl.d(5))."""
    slash, dot = key.find("/"), key.find(".")
    if slash != -1 and (dot == -1 or slash < dot):
        return key.translate(str.maketrans("./", "/."))
    return key


@rule()
def hooks(spec: NodeImage) -> Iterator[Problem]:
    """A name is unique, since a stamp of that name on the node says that its script ran. A script has no NUL."""
    named = (("before", spec.hooks.before), ("after", spec.hooks.after))
    placed = [(f"hooks.{when}[{index}]", hook) for when, items in named for index, hook in enumerate(items)]
    for index, name, first in duplicates(hook.name for _, hook in placed):
        message = f"a hook with the name {name} exists already at {placed[first][0]}"
        yield problem(f"{placed[index][0]}.name", message, "give each its own name")
    for where, hook in placed:
        if "\0" in hook.script:
            yield problem(f"{where}.script", "contains a NUL character", "remove it")
        if "\r\n" in hook.script:
            message = "has DOS line endings: the shell reads each carriage return as part of the line"
            yield warning(f"{where}.script", message, "save it with Unix line endings")
        if hook.script[:1].isspace() and hook.script.lstrip().startswith("#!"):
            message = "has empty lines or blanks before its `#!` line: bash runs it, whatever that line says"
            yield warning(f"{where}.script", message, "remove them")


@rule("platforms")
def package_sources(spec: NodeImage) -> Iterator[Problem]:
    """Mirrors belong to platforms of the spec, and suites and components to apt."""
    for platform, mirror in spec.package_sources.mirrors.items():
        where = key_path("packageSources.mirrors", platform)
        yield from not_of_spec(spec, platform, where)
        if PLATFORMS[platform].family == "dnf" and (mirror.suites or mirror.components):
            yield problem(where, "suites and components apply to apt only", f"remove them for {platform}")
        if PLATFORMS[platform].family == "dnf" and "," in mirror.url:
            message = "contains a comma, at which dnf begins another URL"
            yield problem(f"{where}.url", message, "write %2C", "dnf.conf(5), baseurl")
        if PLATFORMS[platform].family == "apt" and mirror.url.startswith("ftp:"):
            yield problem(f"{where}.url", "apt refuses ftp", "use http or https")
        if mirror.gpg_key and re.search(r"[\s,$]", mirror.gpg_key):
            message = "contains white space, a comma or `$`, which are no part of a file name to apt or dnf"
            yield problem(f"{where}.gpgKey", message, "give the key file another name")


@rule("packageSources.proxy")
def no_proxy(spec: NodeImage) -> Iterator[Problem]:
    """Exceptions need something to be an exception of."""
    if spec.package_sources.no_proxy and spec.package_sources.proxy is None:
        message = "has no meaning without packageSources.proxy"
        yield problem("packageSources.noProxy", message, "set the proxy, or remove it")


@rule("platforms")
def local(spec: NodeImage) -> Iterator[Problem]:
    """A local base is a file, a download with its checksum, or made from package sources."""
    for platform, base in spec.local.bases.items():
        where = key_path("local.bases", platform)
        yield from not_of_spec(spec, platform, where)
        if (base.path is not None) + (base.url is not None) + base.mmdebstrap != 1:
            yield problem(where, "needs exactly one of path, url and mmdebstrap", "set one of them")
        if base.mmdebstrap and not PLATFORMS[platform].kernel_package:
            message = f"mmdebstrap makes no {PLATFORMS[platform].title}"
            yield problem(f"{where}.mmdebstrap", message, "remove it for the official image")
        if base.mmdebstrap and base.user:
            yield problem(f"{where}.user", "the user of a root by mmdebstrap is the distribution's", "remove it")
        if (base.url is None) != (base.sha256 is None):
            hint = "publishers list the checksum next to the download, often in SHA256SUMS"
            yield problem(where, "url and sha256 must be set together", hint)
