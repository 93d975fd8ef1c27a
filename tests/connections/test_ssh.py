"""Connections that are on their way before the spec is read. The ssh here is a script that runs what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amigen.base.errors import ToolError
from amigen.connections import connect, parse_target
from amigen.connections.model import ConnectOptions, UnreachableError
from amigen.connections.ssh import connecting
from tests.specs import ROOT
from tests.verify.images import SPEC

# Its host is the word before the last; a host `none` cannot be reached, and `hangs*` never answer.
SSH = """\
#!/bin/bash
echo "$$ ${@: -2:1}" >>"$(dirname "$0")/begun"
case ${@: -2:1} in none) echo "Permission denied (publickey)." >&2; exit 255 ;; hangs*) exec sleep 30 ;; esac
exec sh -c "${@: -1}"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the ssh writes its process and host at each call."""
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    return ssh.parent / "begun"


def hosts_of(calls: Path) -> list[str]:
    return [line.split()[1] for line in calls.read_text().splitlines()]


def test_the_first_command_goes_over_it(calls: Path) -> None:
    """And is a script of any shape and size; the next command has a connection of its own."""
    target = parse_target("ssh://root@node")
    script = "read -r line; echo \"[$line] 'it''s'\" >&2; # %s\n" + ": x\n" * 30_000 + "echo done; exit 3\n"
    with connecting([target], ConnectOptions()) as connections:
        node = connections.pop(target)
        first = node.run(script)
        assert hosts_of(calls) == ["node"]
        second = node.run("echo again; exit 4")
    assert (first.returncode, first.stdout, first.stderr) == (3, b"done\n", b"[] 'it''s'\n")
    assert (second.returncode, second.stdout) == (4, b"again\n")
    assert hosts_of(calls) == ["node", "node"]


def test_each_user_is_root_there(calls: Path) -> None:
    """A user who is none becomes root by sudo; here it is root already."""
    for user in ("root", "admin", ""):
        target = parse_target(f"ssh://{user}@node" if user else "ssh://node")
        with connecting([target], ConnectOptions()) as connections:
            assert connections.pop(target).run("echo $(id -u)").stdout == b"0\n"


def test_one_that_fails_is_told(calls: Path) -> None:
    target = parse_target("ssh://none")
    told = pytest.raises(UnreachableError, match="Permission denied")
    with connecting([target], ConnectOptions()) as connections, told:
        connections.pop(target).run("true")


def test_what_nobody_asked_ends(calls: Path) -> None:
    """Also where it ends by an error; and of many targets only some are begun with, and of no other kind any."""
    targets = [parse_target(f"ssh://hangs{number}") for number in range(20)]
    processes: list[subprocess.Popen[bytes]] = []

    def stopped() -> None:
        with connecting([parse_target("local"), targets[0], *targets], ConnectOptions()) as connections:
            processes.extend(each._begun for each in connections.values() if each._begun)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(processes) == 6
    assert {process.returncode for process in processes} == {-9}


def test_without_ssh_it_is_said_by_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = parse_target("ssh://node")
    with connecting([target], ConnectOptions()) as connections:
        assert connections == {}
    monkeypatch.setattr("amigen.base.processes.SYSTEM_PATH", str(tmp_path))
    with pytest.raises(ToolError, match="ssh is not installed"):
        connect(target)


def test_a_wrong_spec_ends_them(calls: Path) -> None:
    """The error is the spec's, and no ssh goes on."""
    spec = calls.parent / "spec.yaml"
    spec.write_text(SPEC + "typo: 1\n")
    command = [sys.executable, "-m", "amigen", "verify", str(spec), "ssh://hangs"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "typo" in done.stderr
    # It may have been ended before it could write its line.
    begun = calls.read_text().split()[::2] if calls.exists() else []
    assert [process for process in begun if Path(f"/proc/{process}").exists()] == []
