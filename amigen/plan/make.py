"""From the spec to the plans: every decision is made here, and nothing is done."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from msgspec import structs

from amigen import knowledge
from amigen.base.words import counted
from amigen.checks import checks_of
from amigen.checks.model import (
    RELEASE_PATH,
    ApplySysctls,
    CleanImage,
    InstallPackages,
    JoinCluster,
    LoadModules,
    PackageRequest,
    RunHook,
    Step,
    WriteFile,
    WriteRelease,
)
from amigen.checks.unit import NoFailedUnitCheck
from amigen.plan.gate import gate_step
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS, family_of
from amigen.spec.gate import gate_is_on
from amigen.spec.load import spec_digest
from amigen.spec.model import File, Hook, NodeImage
from amigen.spec.rules.node import sysctl_name
from amigen.spec.values import Platform

IPVS_MODULES_PATH = "/etc/modules-load.d/ipvs.conf"
MODULES_PATH = "/etc/modules-load.d/amigen.conf"
MODPROBE_PATH = "/etc/modprobe.d/amigen-ipvs.conf"
SYSCTL_PATH = "/etc/sysctl.d/90-amigen.conf"
# No file of the spec has one of these names.
OWN_PATHS = (IPVS_MODULES_PATH, MODULES_PATH, MODPROBE_PATH, SYSCTL_PATH)


def plan_images(spec: NodeImage) -> tuple[ImagePlan, ...]:
    """One plan per platform, in the order of the spec."""
    digest = spec_digest(spec)
    return tuple(_plan(spec, platform, digest) for platform in spec.platforms)


def plan_image(spec: NodeImage, platform: Platform) -> ImagePlan:
    """The plan of one platform."""
    return _plan(spec, platform, spec_digest(spec))


def without_cluster(plan: ImagePlan) -> ImagePlan:
    """The plan as a machine is judged by that joins no cluster: the builder of an image, or a VM that boots it."""
    units = PLATFORMS[plan.platform].join_units
    always = (
        NoFailedUnitCheck(besides=units) if isinstance(check, NoFailedUnitCheck) else check for check in plan.always
    )
    return structs.replace(plan, always=tuple(always))


def write_file(
    path: str, content: bytes, title: str, *, owner: str = "root", group: str = "root", mode: str = "0644"
) -> WriteFile:
    """The step that writes a file; its mode has any number of octal digits."""
    return WriteFile(title=title, path=path, content=content, owner=owner, group=group, mode=f"{int(mode, 8):04o}")


def _plan(spec: NodeImage, platform: Platform, digest: str) -> ImagePlan:
    fact = PLATFORMS[platform]
    return ImagePlan(
        spec=spec,
        digest=digest,
        platform=platform,
        architectures=spec.architectures,
        steps=tuple(
            structs.replace(step, checks=checks_of(step, spec, fact)) for step in _steps(spec, platform, digest)
        ),
        always=checks_of(None, spec, fact),
    )


def _steps(spec: NodeImage, platform: Platform, digest: str) -> Iterator[Step]:
    modules = persisted_modules(spec)
    if gate_is_on(spec, platform):
        yield gate_step(spec, platform, modules)
    yield from (_hook(hook) for hook in spec.hooks.before)
    mirror = spec.package_sources.mirrors.get(platform)
    if mirror:
        path, content = family_of(platform).mirror_file(PLATFORMS[platform], mirror)
        yield write_file(path, content.encode(), "name the package mirror")
    # A file may be a key that packages need; a file of a user that a package makes has to wait for it.
    yield from (_file(file) for file in spec.files if _is_roots(file))
    packages = wanted_packages(spec, platform)
    if packages:
        yield _packages(packages)
    yield from (_file(file) for file in spec.files if not _is_roots(file))
    yield from _modules(spec, modules)
    if spec.sysctls:
        yield from _sysctls(spec)
    yield from (_hook(hook) for hook in spec.hooks.after)
    yield WriteRelease(title=f"write {RELEASE_PATH}: what this node is", name=spec.name, digest=digest)
    joins_by = PLATFORMS[platform].joins_by
    if spec.join.eks and joins_by:
        title = f"join the EKS cluster {spec.join.eks.name} by {joins_by}"
        yield JoinCluster(title=title, by=joins_by, stage="user-data")
    yield CleanImage(title="remove what belongs to the builder, so that two nodes are not twins", stage="image")


def persisted_modules(spec: NodeImage) -> tuple[str, ...]:
    """The modules of the kube-proxy mode and the extra ones, each once, in the order in which they are loaded."""
    mode = spec.kube_proxy.mode
    modules = knowledge.MODE_MODULES[mode]
    if spec.modules.persist == "minimal" and mode == "ipvs":
        modules = ("ip_vs", knowledge.scheduler_module(spec.kube_proxy.ipvs.scheduler), "nf_conntrack")
    elif mode == "ipvs" and (own := knowledge.scheduler_module(spec.kube_proxy.ipvs.scheduler)) not in modules:
        modules = (*modules, own)
    extra = tuple(m for m in spec.modules.extra if m.replace("-", "_") not in modules)
    return tuple(dict.fromkeys((*modules, *extra)))


def wanted_packages(spec: NodeImage, platform: Platform) -> tuple[PackageRequest, ...]:
    """The packages of the kube-proxy mode and the spec's own; a version in the spec holds for both."""
    versions: dict[str, str | None] = dict.fromkeys(knowledge.MODE_PACKAGES[spec.kube_proxy.mode])
    for package in spec.packages:
        if not package.platforms or platform in package.platforms:
            versions[package.name] = package.version
    return tuple(PackageRequest(name=name, version=version) for name, version in versions.items())


def _is_roots(file: File) -> bool:
    return file.owner in ("root", "0") and file.group in ("root", "0")


def _file(file: File) -> WriteFile:
    content = (
        base64.b64decode(file.content_base64) if file.content_base64 is not None else (file.content or "").encode()
    )
    return write_file(file.path, content, f"write {file.path}", owner=file.owner, group=file.group, mode=file.mode)


def _hook(hook: Hook) -> RunHook:
    script = hook.script if hook.script.endswith("\n") else hook.script + "\n"
    title = f"run the hook {hook.name}" + (" (once)" if hook.run == "once" else " (at every bootstrap)")
    return RunHook(title=title, name=hook.name, script=script, once=hook.run == "once")


def _packages(packages: tuple[PackageRequest, ...]) -> InstallPackages:
    return InstallPackages(title=f"install {', '.join(map(str, packages))}", packages=packages)


def _modules(spec: NodeImage, modules: tuple[str, ...]) -> tuple[Step, ...]:
    mode = spec.kube_proxy.mode
    bits: int | None = None
    schedulers: tuple[str, ...] = ()
    own: list[str] = []
    if mode == "ipvs":
        own = [m for m in modules if m in knowledge.IPVS_MODULES or m.startswith("ip_vs_")]
        guide = knowledge.GUIDE_SCHEDULERS if spec.modules.persist == "all" else ()
        schedulers = tuple(dict.fromkeys((*guide, spec.kube_proxy.ipvs.scheduler)))
        bits = spec.kube_proxy.ipvs.conn_tab_bits
    steps: list[Step] = []
    for path, names in ((IPVS_MODULES_PATH, own), (MODULES_PATH, [m for m in modules if m not in own])):
        if names:
            content = f"# By amigen, for kube-proxy in {mode} mode.\n" + "".join(f"{name}\n" for name in names)
            title = f"persist {counted(len(names), 'module')} in {path}"
            steps.append(WriteFile(title=title, path=path, content=content.encode(), modules=tuple(names)))
    if bits is not None:
        content = f"# The ipvs connection table has 2^{bits} buckets.\noptions ip_vs conn_tab_bits={bits}\n"
        steps.append(write_file(MODPROBE_PATH, content.encode(), f"set the connection table to {2**bits} buckets"))
    title = f"load {counted(len(modules), 'module')} now, after looking for them in every installed kernel"
    return (*steps, LoadModules(title=title, modules=modules, conn_tab_bits=bits, schedulers=schedulers))


def _sysctls(spec: NodeImage) -> Iterator[Step]:
    values = tuple((sysctl_name(key), " ".join(str(value).split())) for key, value in spec.sysctls.items())
    # The slash form, which sysctl.d(5) reads the same way whatever dots a name (of an interface) has.
    lines = "".join(f"{key.translate(_SWAP)} = {value}\n" for key, value in values)
    yield write_file(
        SYSCTL_PATH,
        f"# By amigen.\n{lines}".encode(),
        f"persist {counted(len(values), 'kernel parameter')} in {SYSCTL_PATH}",
    )
    yield ApplySysctls(title="set them now", path=SYSCTL_PATH, values=values)


_SWAP = str.maketrans("./", "/.")
