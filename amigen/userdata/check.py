"""The check of a spec with what is made of it: its hooks, its gate and its user data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from amigen.base.errors import InputError, Problem, SizeError
from amigen.plan.make import plan_images
from amigen.platforms import PLATFORMS
from amigen.spec.gate import gate_off
from amigen.spec.load import Checked, check_file, existing_user_data
from amigen.spec.scripts import with_scripts
from amigen.userdata.drop_ins import findings
from amigen.userdata.make import make


def check_rendered(path: str | Path) -> Checked:
    """Check a spec file with its hooks, gate and user data; never raises for what it holds."""
    checked = with_scripts(check_file(path))
    more = (*_on_gate(checked), *_on_user_data(checked, path)) if checked.spec and not checked.errors else ()
    return replace(checked, problems=tuple(sorted((*checked.problems, *more), key=lambda p: (p.line, p.column))))


def _on_gate(checked: Checked) -> Iterator[Problem]:
    """Where the gate is off, and what that means; at the key `gate`, or at the platforms where there is none."""
    spec = checked.require()
    line, column = checked.written.get("gate") or checked.written["platforms"]
    for platform in spec.platforms:
        if note := gate_off(spec, platform):
            yield replace(note, line=line, column=column)


def _on_user_data(checked: Checked, path: str | Path) -> Iterator[Problem]:
    """What there is to say about the user data of each platform: existing parts that are merged, and the size."""
    spec = checked.require()
    if any(PLATFORMS[platform].joins_by == "nodeadm" for platform in spec.platforms):
        for problem in findings(spec.files, spec.kubernetes_version, joins=spec.join.eks is not None):
            line, column = checked.written.get(problem.path, checked.written["files"])
            yield replace(problem, line=line, column=column)
    line, column = checked.written.get("userData.merge", (0, 0))
    try:
        merge = existing_user_data(spec, path)
    except InputError as error:
        yield Problem(path="userData.merge", line=line, column=column, message=error.message, hint=error.hint)
        return
    for plan in plan_images(spec):
        try:
            for note in make(plan, merge=merge).notes:
                yield replace(note, message=f"the user data of {plan.platform} {note.message}")
        except SizeError as error:
            message = f"the user data of {plan.platform} is too large and is not rendered; build an image instead"
            yield Problem(severity="note", message=message, hint=error.hint)
        except InputError as error:
            yield Problem(path="userData.merge", line=line, column=column, message=error.message, hint=error.hint)
            return
