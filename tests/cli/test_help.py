"""The commands about the command line itself: help, completion, doctor, and the options of all commands."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from amigen.base import errors
from amigen.cli import _EPILOG, _GROUPS, COMMANDS
from amigen.cli.userdata import user_data
from tests.cli.conftest import Amigen

SpecFile = Callable[..., str]


def test_help_lists_each_command_once() -> None:
    """In one group each."""
    listed = [name for names in _GROUPS.values() for name in names]

    assert sorted(listed) == sorted(COMMANDS)


def test_help_names_every_exit_code() -> None:
    """Those of the error classes."""
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    named = {int(word) for word in _EPILOG.replace(",", " ").split() if word.isdigit()}

    assert codes - {1} <= named


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_its_shell(shell: str, amigen: Amigen) -> None:
    """The shell itself takes it, where there is one."""
    done = amigen("completion", shell)

    assert done.returncode == 0
    assert b"_AMIGEN_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, check=True, timeout=30)


def test_completion_knows_commands(amigen: Amigen) -> None:
    """As the script asks for them."""
    done = amigen(_AMIGEN_COMPLETE="bash_complete", COMP_WORDS="amigen ver", COMP_CWORD="1")

    assert done.stdout == b"plain,verify\n"


def test_doctor_is_one_table(amigen: Amigen) -> None:
    """A line for each thing, with what to install where it is missing."""
    rows = amigen("doctor").stdout.decode().splitlines()
    found = json.loads(amigen("doctor", "--output", "json").stdout)

    assert len(rows) == len(found)
    assert {"packer", "KVM", "AWS credentials", "kubeconfig"} <= {each["name"] for each in found}
    assert all(bool(each["found"]) != bool(each["install"]) for each in found)
    assert all(row.startswith("ok" if each["found"] else "--") for row, each in zip(rows, found, strict=True))


def test_quiet_and_debug(amigen: Amigen, spec_file: SpecFile) -> None:
    """No warnings, and a traceback only where it was asked for."""
    spec = spec_file({"kubernetesVersion": "1.36"})

    assert b"warning" in amigen("plan", spec).stderr
    assert amigen("-q", "plan", spec).stderr == b""
    assert amigen("-q", "plan").stderr == b""


def test_debug_shows_where_an_error_comes_from() -> None:
    """Before the message, which stays the last thing that is said."""
    from tests.cli.conftest import COMMAND, ENVIRONMENT

    done = subprocess.run(
        [*COMMAND, "--debug", "plan", "/no/such"], capture_output=True, env=ENVIRONMENT, timeout=60, check=False
    )

    assert done.stderr.startswith(b"Traceback")
    assert b"amigen: error: cannot read the spec /no/such" in done.stderr
    assert done.returncode == errors.InputError.exit_code


def test_the_help_of_user_data_shows_the_options_of_print() -> None:
    """`print` need not be named, so its options stand in the help of the group."""
    shown = CliRunner().invoke(user_data, ["--help"]).output
    assert "--base64" in shown
    assert "--merge" in shown
    assert "explain" in shown
