"""Scripts over ssh. The ssh here is a script that runs what it is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from amigen.base.errors import ToolError
from amigen.connections import connect, parse_target
from amigen.connections.model import UnreachableError

# Its host is the word before the last; a host `none` cannot be reached.
SSH = """\
#!/bin/bash
case ${@: -2:1} in none) echo "Permission denied (publickey)." >&2; exit 255 ;; esac
exec sh -c "${@: -1}"
"""


@pytest.fixture(autouse=True)
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("target", ["ssh://root@node", "local"])
def test_a_script_of_any_shape_and_size(target: str) -> None:
    script = "read -r line; echo \"[$line] 'it''s'\" >&2; # %s\n" + ": x\n" * 100_000 + "echo done; exit 3\n"
    done = connect(parse_target(target)).run(script)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"done\n", b"[] 'it''s'\n")


@pytest.mark.parametrize("user", ["root@", "admin@", ""])
def test_each_user_is_root_there(user: str) -> None:
    """A user who is none becomes root by sudo; here it is root already."""
    assert connect(parse_target(f"ssh://{user}node")).run("echo $(id -u)").stdout == b"0\n"


def test_one_that_fails_is_told() -> None:
    with pytest.raises(UnreachableError, match="Permission denied"):
        connect(parse_target("ssh://none")).run("true")


def test_without_ssh_it_is_said_by_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("amigen.base.processes.SYSTEM_PATH", str(tmp_path))
    with pytest.raises(ToolError, match="ssh is not installed"):
        connect(parse_target("ssh://node"))
