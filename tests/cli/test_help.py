"""The commands about the command line itself: help, completion, doctor, and the options of all commands."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amigen.base import errors
from amigen.build.doctor import findings
from amigen.cli import _EPILOG, _GROUPS, _STARTED, COMMANDS, EXAMPLES, _show_program, cli
from amigen.cli.docs import pages
from amigen.cli.durations import Duration
from amigen.cli.userdata import user_data
from amigen.vm.acceleration import Acceleration
from tests.cli.conftest import Amigen
from tests.command import ENVIRONMENT
from tests.real.packer import packer_environment

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
        subprocess.run([shell, "-n"], input=done.stdout, check=True, timeout=120)


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


def test_doctor_finds_the_plugins_of_packer(amigen: Amigen, tmp_path: Path) -> None:
    """Those that the real Packer has found, and says what to do without them."""

    def plugins(environment: dict[str, str]) -> list[tuple[str, bool]]:
        found = json.loads(amigen("doctor", "--output", "json", **environment).stdout)
        return [(each["name"], bool(each["found"])) for each in found if each["name"].startswith("packer-plugin")]

    environment = packer_environment()
    assert plugins(environment) == [("packer-plugin-amazon", True), ("packer-plugin-qemu", True)]
    assert plugins({**environment, "PACKER_PLUGIN_PATH": str(tmp_path)}) == [
        ("packer-plugin-amazon", False),
        ("packer-plugin-qemu", False),
    ]


def test_doctor_believes_a_guest_and_not_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/kvm may be there and fail."""
    fails = Acceleration(name="tcg", cpu="x", accel="tcg", reason="/dev/kvm is there and fails")
    monkeypatch.setattr("amigen.build.doctor.probe", lambda _: fails)
    (kvm,) = (each for each in findings() if each.name == "KVM")

    assert not kvm.found
    assert "/dev/kvm is there and fails" in kvm.install


def test_quiet_and_debug(amigen: Amigen, spec_file: SpecFile) -> None:
    """No warnings, and a traceback only where it was asked for."""
    spec = spec_file({"kubernetesVersion": "1.36"})

    assert b"warning" in amigen("plan", spec).stderr
    assert amigen("-q", "plan", spec).stderr == b""
    assert amigen("-q", "plan").stderr == b""


def test_debug_shows_where_an_error_comes_from() -> None:
    """Before the message, which stays the last thing that is said."""
    from tests.command import COMMAND

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


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1d", 86400), ("0", 0), ("120", 120)]
)
def test_durations_have_units(given: str, seconds: float) -> None:
    """A number alone is of the option's own unit, as in 0.1.0."""
    assert Duration("s").convert(given, None, None) == seconds


@pytest.mark.parametrize("given", ["", "x", "-1s", "10 m", "1w", "nan", "1e3", "90S"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    """With what to write."""
    with pytest.raises(click.BadParameter, match="such as 90s, 10m, 2h or 30d"):
        Duration("s").convert(given, None, None)


def test_limits_of_durations_are_in_their_unit() -> None:
    """One minute is less than the least, two hours are more than the most."""
    kind = Duration("m", least=2, most=60, whole=True)
    assert kind.convert("120s", None, None) == 2
    for given in ("1m", "2h"):
        with pytest.raises(click.BadParameter, match="Give 2m to 60m"):
            kind.convert(given, None, None)
    with pytest.raises(click.BadParameter, match="not a whole number of minutes"):
        kind.convert("150s", None, None)


def test_a_number_alone_is_told_its_unit(amigen: Amigen, spec_file: SpecFile) -> None:
    """Once, on stderr; --quiet leaves it out."""
    words = ("verify", spec_file(), "no-such-folder", "--timeout", "30")

    assert b"note: --timeout 30 has no unit: read as seconds; write 30s\n" in amigen(*words).stderr
    assert b"no unit" not in amigen("-q", *words).stderr


def every_command() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {name: command, **{f"{name} {key}": each for key, each in inner.items()}}
    return found


REPEATABLE = ("--platform", "--architecture", "--region", "--ssh-option")
# They print one document, or judge targets of one platform; a cluster is in one region.
SINGLE = {
    ("user-data print", "--platform"),
    ("user-data print", "--architecture"),
    ("user-data explain", "--platform"),
    ("verify", "--platform"),
    ("verify", "--architecture"),
}


def test_one_option_has_one_spelling_and_one_form() -> None:
    """Of all commands; durations are durations everywhere."""
    wrong = []
    for name, command in every_command().items():
        given = [word for option in command.params for word in option.opts]
        wrong += [f"{name} {word} twice" for word in {*given} if given.count(word) > 1]
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            for word in {*option.opts} & {*REPEATABLE}:
                of_a_cluster = name.startswith("kube-proxy") and word == "--region"
                if option.multiple == ((name, word) in SINGLE or of_a_cluster):
                    wrong.append(f"{name} {word}")
            if re.search(r"\b(Seconds|Minutes|DAYS|SECONDS)\b", f"{option.help} {option.metavar}"):
                wrong.append(f"{name} {option.opts}")

    assert wrong == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("amigen plan --platform ubuntu-2", ["ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04"]),
        ("amigen build --architecture a", ["arm64"]),
        ("amigen init --platform deb", ["debian-12", "debian-13"]),
        ("amigen verify spec.yaml ss", ["ssh://", "ssm://"]),
        ("amigen export kar", ["karpenter"]),
        ("amigen docs trouble", ["troubleshooting"]),
    ],
)
def test_completion_knows_values(words: str, expected: list[str], amigen: Amigen) -> None:
    """Platforms, architectures, targets, formats and pages."""
    count = str(len(words.split()) - 1)
    done = amigen(_AMIGEN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)

    assert [line.partition(",")[2] for line in done.stdout.decode().splitlines()] == expected


def test_completion_leaves_files_to_the_shell(amigen: Amigen) -> None:
    """Of a spec, and of an image as a target."""
    for words in ("amigen check spe", "amigen verify spec.yaml dis"):
        count = str(len(words.split()) - 1)
        done = amigen(_AMIGEN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
        assert done.stdout.startswith(b"file,")


def test_every_command_has_an_example_that_it_takes() -> None:
    """And the page of the documentation that it names is there."""
    assert set(EXAMPLES) == set(every_command()) - {"docs"}
    for name, (example, page) in EXAMPLES.items():
        assert page in pages(), name
        words = shlex.split(example.partition(" | ")[0].partition(" > ")[0])
        if words[0] != "amigen":
            continue
        command: click.Command = cli
        context = click.Context(cli)
        for word in words[1:]:
            inner = command.get_command(context, word) if isinstance(command, click.Group) else None
            if inner is None:
                break
            command, context, words = inner, click.Context(inner, parent=context), words[1:]
        known = {word for option in command.params for word in (*option.opts, *option.secondary_opts)}
        assert {word for word in words[1:] if word.startswith("-")} <= known, name
        assert f"Example: {example}" in every_command()[name].get_help(click.Context(command, info_name=name))


def test_docs_lists_pages_and_shows_one(amigen: Amigen) -> None:
    """Those that are installed with amigen."""
    assert b"From zero to an IPVS node" in amigen("docs").stdout
    assert amigen("docs", "launch").stdout.startswith(b"# From zero to an IPVS node")
    assert amigen("docs", "no-such-page").returncode == errors.InputError.exit_code


def test_verbose_shows_the_programs_that_are_started(amigen: Amigen) -> None:
    """On stderr, so that stdout stays the result."""
    done = amigen("-v", "doctor", "--output", "json", fresh=True)

    assert b"amigen: starts " in done.stderr
    json.loads(done.stdout)
    assert b"starts" not in amigen("doctor").stderr


def test_verbose_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as the session that Session Manager's plugin is given."""
    _STARTED["show"] = True
    try:
        _show_program("subprocess.Popen", ("p", ["p", '{"TokenValue": "abc"}', "--password=x", "y" * 200], None, None))
    finally:
        _STARTED["show"] = False
    shown = capsys.readouterr().err

    assert shown == f"amigen: starts p ... ... {'y' * 77}...\n"


PLATFORM = "amigen plan --platform ubuntu-2"
PLATFORMS = ["ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04"]


def completed(shell: str, line: str, folder: Path, expected: list[str]) -> str:
    """What a real shell shows after the user has typed the line and pressed Tab twice."""
    if not shutil.which(shell):
        pytest.skip(f"not proven here: no {shell}")
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/amigen").write_text(f'#!/bin/sh\nexec {sys.executable} -m amigen "$@"\n')
    (folder / "bin/amigen").chmod(0o755)
    environment = {
        **ENVIRONMENT,
        "PATH": f"{folder / 'bin'}:{ENVIRONMENT['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
    }
    if shell == "fish":
        words = ["fish", "--no-config", "-c", f"amigen completion fish | source; complete -C '{line}'"]
        return subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout
    setup, words = {
        "bash": ('eval "$(amigen completion bash)"', ["bash", "--norc", "--noprofile", "-i"]),
        "zsh": ('autoload -Uz compinit; compinit -u; eval "$(amigen completion zsh)"', ["zsh", "-f", "-i"]),
    }[shell]
    main, side = pty.openpty()
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=side, stdout=side, stderr=side, start_new_session=True
    )
    os.close(side)
    try:
        # Made of two words, so that it is seen when it is printed and not when it is typed.
        os.write(main, f"{setup}; echo rea''dy\n".encode())
        read_until(main, ["ready"])
        os.write(main, f"{line}\t\t".encode())
        return read_until(main, expected)
    finally:
        process.kill()
        process.wait()
        os.close(main)


def read_until(terminal: int, words: list[str]) -> str:
    """What the terminal shows until it has shown all words, at most two minutes."""
    found = b""
    until = time.monotonic() + 120
    while not all(word.encode() in found for word in words):
        ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        if not ready:
            break
        found += os.read(terminal, 65536)
    return found.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (PLATFORM, PLATFORMS),
        ("amigen verify node-image.yaml ss", ["ssh://", "ssm://"]),
        ("amigen verify ss", ["ssh://", "ssm://"]),
        ("amigen build --architecture a", ["arm64"]),
        ("amigen check no", ["node-image.yaml"]),
    ],
)
def test_a_real_shell_completes(shell: str, line: str, expected: list[str], tmp_path: Path) -> None:
    """Platforms, architectures, targets and files, as soon as the printed script is read."""
    (tmp_path / "node-image.yaml").touch()
    shown = completed(shell, line, tmp_path, expected)

    assert all(word in shown for word in expected), shown


def test_there_is_a_man_page_of_each_command(tmp_path: Path, amigen: Amigen) -> None:
    """With all its options; man itself has nothing to say about them."""
    assert amigen("docs", "--man", str(tmp_path / "man")).returncode == 0
    pages_there = {file.stem: file for file in (tmp_path / "man/man1").iterdir()}
    assert set(pages_there) == {"amigen", *(f"amigen-{name.replace(' ', '-')}" for name in every_command())}
    for name, command in every_command().items():
        text = pages_there[f"amigen-{name.replace(' ', '-')}"].read_text().replace("\\-", "-")
        options = [word for each in command.params if isinstance(each, click.Option) for word in each.opts]
        assert [word for word in options if word not in text] == [], name
    if not shutil.which("man"):
        pytest.skip("not proven here: no man")
    for file in pages_there.values():
        done = subprocess.run(["man", "--warnings=all", "-P", "cat", "-l", str(file)], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), file
