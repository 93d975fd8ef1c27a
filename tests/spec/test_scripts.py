"""Hooks that bash cannot run: found before anything is built, at their line of the file."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from amigen.spec.load import check_bytes
from amigen.spec.scripts import with_scripts
from tests.command import run

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="not proven here: no bash")
HEAD = (Path(__file__).parents[1] / "golden/minimal/spec.yaml").read_text()


def spec_text(hooks: str) -> str:
    return HEAD + "hooks:\n  before:\n" + textwrap.indent(textwrap.dedent(hooks).strip(), "    ") + "\n"


def block(script: str) -> str:
    return "- name: a\n  script: |\n" + textwrap.indent(textwrap.dedent(script).strip(), "    ")


@pytest.mark.parametrize(
    ("hooks", "severity", "shown", "message"),
    [
        (block("set -e\nif true; then\n  ls\ndone"), "error", "done", "line 4 of the script is not valid bash"),
        (block("#!/bin/sh\necho 'open\nls"), "error", "echo 'open", "unexpected EOF while looking for matching"),
        (block("for i in a; do\n  ls"), "error", "ls", "unexpected end of file"),
        ('- {name: a, script: "#!/usr/bin/env bash\\nfi\\n"}', "error", "- {name", "line 2 of the script is not"),
        (block("cat <<EOF\ntext"), "warning", "text", "here-document at line 1 delimited by end-of-file"),
    ],
)
def test_a_hook_that_bash_cannot_run_has_its_line(hooks: str, severity: str, shown: str, message: str) -> None:
    text = spec_text(hooks)
    (problem,) = with_scripts(check_bytes(text.encode())).problems

    assert (problem.severity, problem.path) == (severity, "hooks.before[0].script")
    assert message in problem.message
    assert text.splitlines()[problem.line - 1].strip().startswith(shown)


@pytest.mark.parametrize(
    "script",
    [
        "#!/usr/bin/python3\nif (:",
        "#!/usr/bin/env -S python3 -u\nif (:",
        "ls\nexit 0\n(((archive",
        "shopt -s extglob\nls !(a|b)",
        "ls äöü '\u2028'",
    ],
)
def test_what_bash_does_not_read_is_no_finding(script: str) -> None:
    assert with_scripts(check_bytes(spec_text(block(script)).encode())).problems == ()


def test_every_command_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec_text(block("fi")))
    for command in (["check"], ["plan"], ["user-data"], ["render", "-o", "out"]):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 3
        assert b"hooks.before[0].script: line 1 of the script is not valid bash" in done.stderr
    assert not (tmp_path / "out").exists()
