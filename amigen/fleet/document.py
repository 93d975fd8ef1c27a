"""A Systems Manager document with which a node checks itself, for people who schedule that with State Manager. Pure.

The checks are those of the plan that a running node can make; the script is POSIX sh, which is what
`aws:runShellScript` runs it with. One line per failed check and exit code 1 make the association non-compliant.

Sources: https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-schemas-features.html (schema 2.2) and
https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-command-ssm-plugin-reference.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from amigen.base.errors import SizeError
from amigen.base.templates import render
from amigen.facts.modules import MODULES_LOAD_FOLDERS, names_pattern, normal
from amigen.plan import checks
from amigen.plan.gate import RELEASE_PATH
from amigen.plan.make import sysctl_path
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.render.suite import CLOUD_INIT_MARK, HOOK_STAMPS

# Systems Manager takes documents of 64 KB (https://docs.aws.amazon.com/general/latest/gr/ssm.html, quotas).
LIMIT = 64 * 1024
_TIMEOUT_SECONDS = 600
_PACKAGE = {"dnf": "rpm_package", "apt": "deb_package"}

# Check -> the call of the shell function that makes it, in the order in which they have to be made: what is loaded
# before anything can load it, and the schedulers last, because trying one loads its module.
Words = Callable[[Any, ImagePlan], tuple[str, ...]]
CALLS: Mapping[type[checks.Check], Words] = MappingProxyType(
    {
        checks.LoadedCheck: lambda c, _: ("module_loaded", normal(c.module), names_pattern([c.module])),
        checks.ConnTabCheck: lambda c, _: ("connection_table", str(2**c.bits)),
        checks.PersistedCheck: lambda c, _: ("module_persisted", normal(c.module)),
        checks.EveryKernelCheck: lambda c, _: ("module_in_every_kernel", c.module, names_pattern([c.module])),
        checks.PackageCheck: lambda c, plan: (_PACKAGE[PLATFORMS[plan.platform].family], c.name, c.version or ""),
        checks.CommandCheck: lambda c, _: ("runs", c.command, c.argument),
        checks.FileCheck: lambda c, _: ("file_is", c.path, c.sha256, f"{int(c.mode, 8):o}", c.owner, c.group),
        checks.HookCheck: lambda c, _: ("hook_has_run", c.name, f"{HOOK_STAMPS}/{c.name}.sha256", c.sha256),
        checks.ReleaseCheck: lambda c, _: ("release_is", RELEASE_PATH, c.name, c.digest),
        checks.SysctlCheck: lambda c, _: ("setting", c.key, sysctl_path(c.key), " ".join(c.value.split())),
        checks.KernelVersionCheck: lambda c, _: ("kernel_from", *map(str, c.minimum)),
        checks.UnitEnabledCheck: lambda c, _: ("unit_is", "enabled", c.unit),
        checks.UnitActiveCheck: lambda c, _: ("unit_is", "active", c.unit),
        checks.CloudInitCheck: lambda c, _: ("cloud_init_done",),
        checks.CloudInitOnceCheck: lambda c, _: ("exists", CLOUD_INIT_MARK, "cloud-init has no mark of this user data"),
        checks.NoFailedUnitCheck: lambda c, _: ("no_failed_unit",),
        checks.JoinedCheck: lambda c, plan: ("joined", *_kubelet_units(plan)),
        checks.SchedulerCheck: lambda c, _: ("takes_scheduler", c.scheduler),
    }
)


def ssm_document(plan: ImagePlan, *, joined: bool = False) -> dict[str, Any]:
    """The document, as `aws ssm create-document --content` takes it.

    Args:
        plan: Of one platform.
        joined: The nodes must have joined their cluster; unset, nobody asks.

    Raises:
        SizeError: It is larger than Systems Manager takes.
    """
    import json

    document = {
        "schemaVersion": "2.2",
        "description": f"Checks a node of {plan.spec.name} on {plan.platform} against its spec; changes nothing.",
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "checks",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": str(_TIMEOUT_SECONDS),
                    "runCommand": check_script(plan, joined=joined).splitlines(),
                },
            }
        ],
    }
    size = len(json.dumps(document, ensure_ascii=False).encode())
    if size > LIMIT:
        raise SizeError(
            f"the SSM document has {size} bytes, and Systems Manager takes {LIMIT}",
            "schedule `amigen fleet verify` instead, which has no such limit",
        )
    return document


def check_script(plan: ImagePlan, *, joined: bool = False) -> str:
    """The script alone."""
    order = list(CALLS)
    wanted = [
        check for check in plan.checks if not check.image and (joined or not isinstance(check, checks.JoinedCheck))
    ]
    wanted.sort(key=lambda check: order.index(type(check)))
    script = render(
        "templates",
        "node_checks.sh.jinja",
        calls=[(check.id, *CALLS[type(check)](check, plan)) for check in wanted],
        modules_load=MODULES_LOAD_FOLDERS,
        what=f"{plan.spec.name} on {plan.platform} (digest {plan.digest[:12]})",
    )
    # `{{` begins a parameter of the document. It can only come from a value, and those that have it stand in quotes.
    return re.sub(r"\{(?=\{)", "{''", script)


def _kubelet_units(plan: ImagePlan) -> tuple[str, ...]:
    return tuple(unit for unit in PLATFORMS[plan.platform].kubelet_units if "kubelet" in unit)
