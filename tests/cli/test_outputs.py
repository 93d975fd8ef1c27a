"""`--output json` of every command: what the schema says, and never an empty success."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from amigen.cli import COMMANDS, cli, main
from amigen.cli.outputs import FILES, OUTPUTS
from tests.cli.test_findings import SpecFile
from tests.outputs import require_valid

# Command -> what it is called with besides a spec and `--output json`.
ON_SPECS = {
    "check": [],
    "plan": [],
    "user-data explain": ["--for", "karpenter"],
    "build": ["--target", "aws", "--packer", "/nonexistent/packer"],
    "verify": ["chroot:///"],
    "publish": ["--yes"],
    "rollback": ["--yes"],
    "images base": [],
    "images list": [],
    "images prune": [],
    "images drift": [],
    "fleet verify": [],
}
ON_CLUSTERS = {
    "kube-proxy plan": ["--mode", "ipvs"],
    "kube-proxy apply": ["--mode", "ipvs", "--yes"],
    "kube-proxy rollback": ["--yes"],
    "kube-proxy status": [],
    "kube-proxy migrate": [],
}


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def amigen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, in an empty folder and without credentials."""
    monkeypatch.chdir(tmp_path)
    for name in ("AMIGEN_SPEC", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Done:
        code = 0
        try:
            main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


def test_every_command_with_output_json_has_a_schema() -> None:
    """None is forgotten when a command is added."""
    assert sorted(_with_output()) == sorted(OUTPUTS)


def test_this_file_names_each_command() -> None:
    assert sorted({**ON_SPECS, **ON_CLUSTERS, "doctor": [], "images diff": []}) == sorted(OUTPUTS)


def test_schema_prints_one_or_all(amigen: Run) -> None:
    every = json.loads(amigen("schema", "all").out)
    assert sorted(every) == sorted([*FILES, *OUTPUTS])
    assert json.loads(amigen("schema", "images", "list").out) == every["images list"]
    assert json.loads(amigen("schema").out) == every["spec"]
    unknown = amigen("schema", "images", "nothing")
    assert unknown.code == 14
    assert "'images nothing' has no JSON Schema" in unknown.err


@pytest.mark.parametrize(
    "arguments",
    [("check", "{spec}"), ("check", "{spec}", "{bad}"), ("check", "{bad}"), ("plan", "{spec}"), ("doctor",),
     ("user-data", "explain", "--for", "karpenter", "{spec}"), ("verify", "{spec}", "chroot:///nonexistent")],
)  # fmt: skip
def test_what_is_printed_is_what_the_schema_says(arguments: tuple[str, ...], amigen: Run, spec_file: SpecFile) -> None:
    files = {"spec": spec_file(), "bad": spec_file({"platforms": ["noble"]}, name="bad.yaml")}
    words = [word.format(**files) for word in arguments]

    done = amigen(*words, "--output", "json")

    assert done.out
    require_valid([*words, "--output", "json"], done.out)


@pytest.mark.parametrize("name", ON_SPECS)
def test_a_spec_with_errors_is_in_the_document(name: str, amigen: Run, spec_file: SpecFile) -> None:
    """Each error with its place, and the exit code of a spec with errors."""
    words = [*name.split(), spec_file({"platforms": ["noble"], "name": "-"}), *ON_SPECS[name], "--output", "json"]

    done = amigen(*words)

    assert done.code == 3
    document = json.loads(done.out)
    require_valid(words, done.out)
    found = document["problems"] if name == "check" else document["errors"]
    assert len(found) == 2
    if name != "check":
        assert [each["exitCode"] for each in found] == [3, 3]
        assert all(each["where"].startswith("spec.yaml:") for each in found)


@pytest.mark.parametrize("name", [name for name in ON_SPECS if name != "verify"])
def test_a_folder_without_a_spec_is_in_the_document(name: str, amigen: Run) -> None:
    done = amigen(*name.split(), *ON_SPECS[name], "--output", "json")

    assert done.code == 14
    assert "holds no spec" in json.loads(done.out)["errors"][0]["message"]


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_no_cluster_is_in_the_document(name: str, amigen: Run, tmp_path: Path) -> None:
    """A kubeconfig that is not there."""
    words = [*name.split(), *ON_CLUSTERS[name], "--kubeconfig", str(tmp_path / "none"), "--output", "json"]

    done = amigen(*words)

    assert done.code != 0
    require_valid(words, done.out)
    (error,) = json.loads(done.out)["errors"]
    assert error["exitCode"] == done.code
    assert "none" in error["message"]


def test_a_missing_program_is_in_the_document(amigen: Run, spec_file: SpecFile) -> None:
    """`build` without Packer."""
    done = amigen("build", spec_file(), *ON_SPECS["build"], "--output", "json")

    (error,) = json.loads(done.out)["errors"]
    assert (done.code, error["exitCode"]) == (9, 9)


def test_wrong_usage_after_the_options_is_in_the_document(amigen: Run, spec_file: SpecFile) -> None:
    done = amigen("images", "prune", spec_file(), "--apply", "--dry-run", "--output", "json")

    (error,) = json.loads(done.out)["errors"]
    assert (done.code, error["exitCode"]) == (2, 2)
    assert "exclude each other" in error["message"]


def _with_output() -> Iterator[str]:
    """The words of each command that takes `--output`."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield from _below(name, command)


def _below(words: str, command: click.Command) -> Iterator[str]:
    if any(parameter.opts == ["--output"] for parameter in command.params):
        yield words
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _below(f"{words} {name}", each)
