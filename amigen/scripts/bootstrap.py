"""The bootstrap and hygiene scripts of a plan: a small library of shell functions, and one call per step."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from amigen.base.quoting import ascii_only, words
from amigen.base.shipped import shell_library
from amigen.base.templates import render
from amigen.base.version import __version__
from amigen.checks.model import (
    ApplySysctls,
    CleanImage,
    InstallGate,
    InstallPackages,
    JoinCluster,
    LoadModules,
    RunHook,
    Step,
    WriteFile,
    WriteRelease,
)
from amigen.checks.sysctl import sysctl_path
from amigen.plan.make import OWN_PATHS
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS, family_of
from amigen.scripts.join import bootstrap_arguments

# The instance metadata service, over IPv4 and IPv6 (EC2 user guide, "Access instance metadata").
IMDS = ("169.254.169.254", "fd00:ec2::254")

_DECODER = "base64 -d"


class Call(Struct, frozen=True, kw_only=True):
    """A call of a shell function; the template quotes each argument."""

    function: str
    arguments: tuple[str, ...] = ()


def bootstrap_script(plan: ImagePlan, *, user_data: bool) -> str:
    """The script that makes a node ready: the same calls for the image build and for user data.

    Args:
        plan: What to do.
        user_data: True for user data: without sudo, ASCII alone, and on a platform that joins by a script, the last
            call joins the cluster.
    """
    spec, fact = plan.spec, PLATFORMS[plan.platform]
    steps = [step for step in plan.steps if step.stage == "both" or (user_data and _joins_by_script(step))]
    gate = plan.gate
    library = "\n".join(map(shell_library, _parts(plan, steps, user_data=user_data)))
    # What this plan does not need is not in it.
    library = library.replace(' "${package_options[@]}"', words(_options(plan)))
    calls = calls_of(steps, plan, plain=user_data)
    if fact.family != "dnf":
        library = re.sub(r'.*"releasever.*\n', "", library)
    script = render(
        "templates",
        "bootstrap.sh.jinja",
        version=__version__,
        title=fact.title,
        mode=spec.kube_proxy.mode,
        library=library,
        units=gate.units if gate else (),
        drop_in=gate.drop_ins[0].content.decode() if gate else "",
        environment=_environment(plan),
    ) + render(
        "templates",
        "main.sh.jinja",
        sudo=not user_data,
        os=f"{fact.os_id} {fact.os_version}",
        calls=calls,
    )
    # cloud-init garbles what is not ASCII in a part that it unpacks (cloudinit/user_data.py gives email's Message the
    # decoded text without a charset, and gets it back in raw-unicode-escape).
    return ascii_only(script) if user_data else script


def hygiene_script(plan: ImagePlan) -> str:
    """The script that runs last in an image build."""
    fact = PLATFORMS[plan.platform]
    return render("templates", "hygiene.sh.jinja", family=fact.family, version=__version__)


def _parts(plan: ImagePlan, steps: list[Step], *, user_data: bool) -> Iterator[str]:
    """The parts of the library that this plan needs, so that user data stays small."""
    kinds = {type(step) for step in steps}
    yield "common.sh"
    if RunHook in kinds or any(isinstance(step, WriteFile) and step.path not in OWN_PATHS for step in steps):
        yield "files.sh"
    if not user_data:
        yield "sudo.sh"
    if InstallPackages in kinds:
        yield "packages.sh"
    if InstallPackages in kinds or LoadModules in kinds:
        yield f"{PLATFORMS[plan.platform].family}.sh"
    if LoadModules in kinds:
        yield "every-kernel.sh"
        yield "at-boot.sh"
        yield "modules.sh"
    if any(step.conn_tab_bits is not None for step in plan.steps_of(LoadModules)):
        yield "table-at-boot.sh"
        yield "table.sh"
    if ApplySysctls in kinds:
        yield "sysctl-at-boot.sh"
        yield "sysctls.sh"
    if RunHook in kinds:
        yield "hooks.sh"
    yield "gate.sh" if InstallGate in kinds else "no-gate.sh"
    if JoinCluster in kinds:
        yield "join.sh"
    yield "release.sh"


def _joins_by_script(step: Step) -> bool:
    return isinstance(step, JoinCluster) and step.by == "bootstrap.sh"


def _options(plan: ImagePlan) -> tuple[str, ...]:
    mirrored = plan.platform in plan.spec.package_sources.mirrors
    return family_of(plan.platform).mirror_options() if mirrored else ()


def _environment(plan: ImagePlan) -> tuple[tuple[str, str], ...]:
    """The proxy, as apt, dnf and hooks alike read it."""
    sources = plan.spec.package_sources
    if sources.proxy is None:
        return ()
    pairs = [("http_proxy", sources.proxy), ("https_proxy", sources.proxy)]
    # IMDS is on the machine's own link; a proxy cannot reach it.
    pairs.append(("no_proxy", ",".join(("localhost", "127.0.0.1", *IMDS, *sources.no_proxy))))
    return tuple(pairs)


def calls_of(steps: list[Step], plan: ImagePlan, *, plain: bool) -> list[Call]:
    """The calls of the steps; a plan without a gate removes that of an image or of an earlier spec."""
    first = [] if plan.gate else [Call(function="remove_gate")]
    return first + [call for step in steps for call in _calls(step, plan, plain=plain)]


def _calls(step: Step, plan: ImagePlan, *, plain: bool) -> Iterator[Call]:
    if isinstance(step, InstallGate):
        yield from map(_put, step.files)
        yield Call(function="hold", arguments=("/etc",))
        # systemd reads all of it then, where it runs.
        yield Call(function="systemctl", arguments=("-q", "enable", step.unit))
    elif isinstance(step, RunHook):
        digest = hashlib.sha256(step.script.encode()).hexdigest()
        text, encoding = _text(step.script.encode(), plain=plain)
        decoder = encoding or ("",)
        runner = () if step.script.startswith("#!") else ("bash", "-euo", "pipefail")
        when = "once" if step.once else "always"
        yield Call(function="run_hook", arguments=(step.name, when, digest, text, *decoder, *runner))
    elif isinstance(step, WriteFile):
        yield _put(step) if step.path in OWN_PATHS else _replace(step, plain=plain)
    elif isinstance(step, InstallPackages):
        wanted = tuple(f"{p.name}={p.version}" if p.version else p.name for p in step.packages)
        yield Call(function="ensure_packages", arguments=(str(plan.spec.package_sources.timeout_seconds), *wanted))
    elif isinstance(step, LoadModules):
        if step.conn_tab_bits is not None:
            yield Call(function="size_table", arguments=(str(step.conn_tab_bits),))
        files = tuple(file.path for file in plan.steps if isinstance(file, WriteFile) and file.modules)
        yield Call(function="load_modules", arguments=files)
    elif isinstance(step, ApplySysctls):
        for key, value in step.values:
            yield Call(function="set_sysctl", arguments=(sysctl_path(key), value))
    elif isinstance(step, WriteRelease):
        yield from _release(plan)
    elif isinstance(step, JoinCluster):
        yield Call(function="join_cluster", arguments=bootstrap_arguments(plan))
    else:
        assert isinstance(step, CleanImage), step


def _release(plan: ImagePlan) -> Iterator[Call]:
    """The part of release.json that is known now; the script adds time, kernel and package versions."""
    spec = plan.spec
    known: dict[str, Any] = {
        "name": spec.name,
        "digest": plan.digest,
        "platform": plan.platform,
        "kubernetesVersion": spec.kubernetes_version,
        "kubeProxyMode": spec.kube_proxy.mode,
        "amigen": __version__,
    }
    if spec.kube_proxy.mode == "ipvs":
        known["scheduler"] = spec.kube_proxy.ipvs.scheduler
    names = tuple(package.name for package in plan.packages)
    head = msgspec.json.format(msgspec.json.encode(known), indent=2).decode().removesuffix("\n}")
    yield Call(function="write_release", arguments=(head, *names))
    if plan.gate:
        # Last of what makes the node ready, and before it joins.
        yield Call(function="open_gate")


def _put(file: WriteFile) -> Call:
    """Of a file that amigen alone writes: plain text of root."""
    return Call(function="put_file", arguments=(file.path, _mode(file), file.content.decode()))


def _replace(file: WriteFile, *, plain: bool) -> Call:
    text, encoding = _text(file.content, plain=plain)
    arguments = (file.path, _mode(file), f"{file.owner}:{file.group}", text, *encoding)
    return Call(function="replace_file", arguments=arguments)


def _mode(file: WriteFile) -> str:
    # stat prints the mode without leading zeros.
    return f"{int(file.mode, 8):o}"


def _text(content: bytes, *, plain: bool) -> tuple[str, tuple[str, ...]]:
    """Content as a shell argument: itself where it is plain text, else base64 and the command that decodes it."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    # Tabs, line ends and what a person can read; a control character or an odd space is better seen in base64.
    readable = text.replace("\n", "").replace("\t", "").isprintable()
    if readable and (text.isascii() or not plain):
        return text, ()
    return base64.b64encode(content).decode("ascii"), (_DECODER,)
