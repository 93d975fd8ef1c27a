"""Existing user data and amigen's own as one document: each part in its place, and none of them twice."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from amigen.base.errors import Problem
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.userdata import mime
from amigen.userdata.finding import Finding, warning
from amigen.userdata.mime import Part
from amigen.userdata.own import (
    NODE_CONFIG_NAME,
    SCRIPT_NAME,
    is_own_cloud_config,
    is_own_node_config,
    is_own_script,
    node_config_document,
)
from amigen.userdata.repair import repair


def merged(plan: ImagePlan, script: bytes, existing: bytes) -> tuple[tuple[Part, ...], list[Problem]]:
    """The parts in the order that makes the modules be there before kubelet needs them, and notes for their author.

    cloud-init applies cloud-config before any script, runs scripts in the order of their names, and nodeadm-run starts
    kubelet after all of them; nodeadm merges NodeConfigs in order, so that the spec's, being last, wins. Parts of an
    earlier amigen are replaced: two of one name would be one file on the node, and the later of them would win.

    Raises:
        InputError: The existing user data cannot be read.
    """
    found, notes = repair(existing) if existing else ((), [])
    theirs = [
        part for part in found if not (is_own_script(part) or is_own_node_config(part) or is_own_cloud_config(part))
    ]
    own = Part(type=mime.SHELL, content=script, filename=SCRIPT_NAME, origin="amigen")
    # In the order in which they run, which is that of their places too where a system forgets their names.
    numbered = [(number, part) for number, part in enumerate(theirs, 1) if mime.effective(part).type == mime.SHELL]
    numbered.sort(key=lambda pair: mime.run_name(pair[1], pair[0]))
    scripts = [later(part) for _, part in numbered]
    configs = [part for part in theirs if part.type == mime.NODE_CONFIG]
    others = [part for part in theirs if mime.effective(part).type not in (mime.SHELL, mime.NODE_CONFIG)]
    eks = plan.spec.join.eks
    if eks and PLATFORMS[plan.platform].joins_by == "nodeadm":
        content = node_config_document(eks)
        configs.append(Part(type=mime.NODE_CONFIG, content=content, filename=NODE_CONFIG_NAME, origin="amigen"))
    notes += _notes(theirs, replaced=len(found) > len(theirs))
    return (*others, own, *scripts, *configs), notes


def later(part: Part) -> Part:
    """The script under a name that sorts behind amigen's; those that did so before keep theirs."""
    name = mime.cleaned(part.filename)
    return part if not name or name > SCRIPT_NAME else replace(part, filename=f"{SCRIPT_NAME}-{name}")


def _notes(theirs: list[Part], *, replaced: bool) -> Iterator[Problem]:
    if replaced:
        yield Problem(severity="note", message="the parts that an earlier amigen made are replaced")
    for part in theirs:
        if mime.effective(part).type == mime.SHELL and later(part) != part:
            message = f"{part.filename} would run before {SCRIPT_NAME}: it is now called {later(part).filename}"
            yield Problem(severity="note", message=message)
        if part.type in mime.BY_FREQUENCY:
            yield early(part)


def early(part: Part) -> Finding:
    """What there is to say about a script that cloud-init runs by frequency."""
    name = part.filename or "(no name)"
    message = f"{part.type} {name} runs before amigen's {SCRIPT_NAME}: modules are not there yet"
    source = "cloud-init config/cloud.cfg.tmpl: scripts_per_once, _per_boot, _per_instance, then scripts_user"
    return warning("", "order", message, "make it text/x-shellscript if it needs them", source)
