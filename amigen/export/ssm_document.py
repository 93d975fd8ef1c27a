"""A Systems Manager document with which a node checks itself, for people who schedule that with State Manager. Pure.

The checks are those of the plan that a running node can make; the script is POSIX sh, which is what
`aws:runShellScript` runs it with. One line per failed check and exit code 1 make the association non-compliant.

Sources: https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-schemas-features.html (schema 2.2) and
https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-command-ssm-plugin-reference.html.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from amigen.base.errors import SizeError
from amigen.base.templates import render
from amigen.checks.model import Check
from amigen.export.model import Export
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS

# Systems Manager takes documents of 64 KB (https://docs.aws.amazon.com/general/latest/gr/ssm.html, quotas).
LIMIT = 64 * 1024
_TIMEOUT_SECONDS = 600


def files(export: Export) -> dict[str, bytes]:
    """`checks.json`, for `aws ssm create-document`.

    Raises:
        SizeError: It is larger than Systems Manager takes.
    """
    document = ssm_document(export.plan, joined=export.joined)
    return {"checks.json": msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"}


def ssm_document(plan: ImagePlan, *, joined: bool = False) -> dict[str, Any]:
    """The document, as `aws ssm create-document --content` takes it.

    Args:
        joined: The nodes must have joined their cluster; unset, nobody asks.

    Raises:
        SizeError: It is larger than Systems Manager takes.
    """
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


def check_script(plan: ImagePlan, *, joined: bool = False, besides: tuple[type[Check], ...] = ()) -> str:
    """The script alone.

    Args:
        joined: The nodes must have joined their cluster.
        besides: Kinds of checks that are left out.
    """
    fact = PLATFORMS[plan.platform]
    wanted = [check for check in plan.checks if joined or check.needs != "cluster"]
    # What is loaded is looked at before anything can load it; trying a scheduler loads its module.
    wanted.sort(key=lambda check: check.place)
    called = [check for check in wanted if not isinstance(check, besides)]
    calls = [(check.id, *words) for check in called if (words := check.call(fact))]
    script = render(
        "templates",
        "node_checks.sh.jinja",
        functions=dict.fromkeys(function for check in wanted for function in check.shell),
        calls=calls,
        what=f"{plan.spec.name} on {plan.platform} (digest {plan.digest[:12]})",
    )
    # `{{` begins a parameter of the document. It can only come from a value, and those that have it stand in quotes.
    return re.sub(r"\{(?=\{)", "{''", script)
