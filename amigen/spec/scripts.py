"""Hooks as bash reads them, where there is a bash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from amigen.base.errors import Problem, ToolError
from amigen.base.processes import run_capped
from amigen.spec.load import Checked
from amigen.spec.model import Hook

_SHELL = re.compile(r"#!\s*(/\S*/)?(env\s+(-S\s+)?)?(ba|da)?sh(\s|$)")
_FOUND = re.compile(r"^[^:]*: line (\d+): (warning: )?(?:syntax error: )?(.*)$", re.MULTILINE)
# Nothing behind such a line is read: an archive may follow.
_END = re.compile(r"^(exit\b|exec\s+[^\s<>0-9&{])")


def with_scripts(checked: Checked) -> Checked:
    """Add what `bash -n` finds in the hooks of a spec without errors, each at its line of the file."""
    bash = shutil.which("bash")
    if not bash or checked.spec is None or checked.errors:
        return checked
    hooks = checked.spec.hooks
    problems = [
        problem
        for when, listed in (("before", hooks.before), ("after", hooks.after))
        for index, hook in enumerate(listed)
        for problem in _found(bash, hook, f"hooks.{when}[{index}].script", checked)
    ]
    return replace(checked, problems=tuple(sorted((*checked.problems, *problems), key=lambda p: (p.line, p.column))))


def _found(bash: str, hook: Hook, path: str, checked: Checked) -> Iterator[Problem]:
    if hook.script.startswith("#!") and not _SHELL.match(hook.script):
        return
    # Without it, a script that sets it for itself could not be read: -n sets nothing.
    command = [bash, *(("-O", "extglob") if "extglob" in hook.script else ()), "-n"]
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = run_capped(command, timeout=10, stdin=hook.script.encode(errors="replace"), env=env)
    except (OSError, ToolError, subprocess.TimeoutExpired):
        return
    match = _FOUND.search(done.stderr.decode(errors="replace"))
    script = hook.script.splitlines()
    if match is None or any(map(_END.match, script[: int(match[1]) - 1])):
        return
    # bash names the line behind the last one where something is not closed.
    number = min(int(match[1]), len(script))
    line, column = _place(number, script[number - 1], path, checked)
    warns = match[2] is not None
    message = (
        f"bash warns of line {number} of the script" if warns else f"line {number} of the script is not valid bash"
    )
    severity: Literal["warning", "error"] = "warning" if warns else "error"
    yield Problem(severity=severity, path=path, line=line, column=column, message=f"{message}: {match[3]}")


def _place(number: int, text: str, path: str, checked: Checked) -> tuple[int, int]:
    """The line of the file that holds a line of the script, as in a literal block; else that of the key."""
    line, column = checked.written.get(path, (0, 0))
    file = checked.content.decode(errors="replace").splitlines()
    found = file[line + number - 1] if line and line + number <= len(file) else None
    if found is None or found.strip() != text.strip():
        return line, column
    return line + number, len(found) - len(found.lstrip()) + 1
