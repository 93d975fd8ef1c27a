"""The commands that README and docs/ show: amigen's by its own parser, those of the AWS CLI by botocore's models.

Not proven here: the options of kubectl, eksctl and `aws cloudformation deploy`, and that the commands do on AWS what
their page says.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
import yaml
from botocore import xform_name

from amigen.cli import cli
from amigen.export.formats import FORMATS
from tests.specs import ROOT, joins, mapping

PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])
LAUNCH = sorted(ROOT.glob("docs/launch-*.md"))
# Customizations of the AWS CLI, which are no operations of a service.
CUSTOM = {
    ("cloudformation", "deploy"): {"stack-name", "template-file"},
    ("eks", "update-kubeconfig"): {"name"},
}
GLOBAL = {"query", "region", "profile"}


def blocks(page: Path, language: str = "bash|console") -> list[str]:
    return re.findall(rf"^```(?:{language})\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def lines(page: Path) -> Iterator[str]:
    """Each line of the page's blocks of commands, without its comment."""
    for block in blocks(page):
        # A command goes on after a backslash, and in quotes.
        whole = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), block.replace("\\\n", " "))
        for line in whole.splitlines():
            yield line.removeprefix("$ ").split(" #")[0].strip()


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """The words of each command, up to a pipe or redirection."""
    for line in lines(page):
        for each in re.split(r" && | \| ", line):
            if each.startswith(f"{program} "):
                yield shlex.split(each.split(" > ")[0])[1:]


def parse(words: list[str]) -> None:
    """As amigen would, and no further."""
    command: click.Command = cli
    context = cli.make_context("amigen", list(words))
    while isinstance(command, click.Group):
        name, inner, rest = command.resolve_command(context, [*getattr(context, "_protected_args", ()), *context.args])
        assert inner is not None
        command, context = inner, inner.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_amigen_are_real(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option and each choice is known."""
    (tmp_path / "node-image.yaml").write_text(yaml.safe_dump(mapping()))
    monkeypatch.chdir(tmp_path)
    wrong = []
    for words in commands(page, "amigen"):
        try:
            parse(words)
        except click.ClickException as error:
            wrong.append(f"{shlex.join(words)}: {error.message}")

    assert wrong == []


def test_an_unknown_option_is_seen() -> None:
    """By the same parser."""
    for words in (["check", "--no-such"], ["export", "pulumi", "a.yaml"], ["images", "burn"]):
        with pytest.raises(click.ClickException):
            parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_aws_are_real(page: Path) -> None:
    """The operation and its parameters are in the model of the service."""
    session = botocore.session.get_session()
    for service, operation, *words in commands(page, "aws"):
        given = {word[2:].partition("=")[0] for word in words if word.startswith("--")} - GLOBAL
        if (service, operation) in CUSTOM:
            assert given <= CUSTOM[service, operation]
            continue
        model = session.get_service_model(service)
        names = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in names, f"{service} {operation}"
        shape = model.operation_model(names[operation]).input_shape
        members, required = ({xform_name(name, "-") for name in of} for of in (shape.members, shape.required_members))
        # The CLI makes a client token by itself.
        assert given <= members, f"{service} {operation}"
        assert required - {"client-token"} <= given, f"{service} {operation}"


def test_each_way_has_its_page() -> None:
    """From the spec to the proof, the gate included; the overview links all of them."""
    overview = (ROOT / "docs/launch.md").read_text(encoding="utf-8")
    assert [page.stem.removeprefix("launch-") for page in LAUNCH] == sorted(FORMATS)
    for page in LAUNCH:
        text = "\n".join(blocks(page))
        assert f"]({page.name})" in overview
        for step in ("amigen init ", "amigen check ", "systemctl status amigen-ready", "--joined", "kube-proxy status"):
            assert step in text, f"{page.name}: {step}"
        assert f"amigen export {page.stem.removeprefix('launch-')} " in text
        assert "## Messages" in page.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", LAUNCH, ids=lambda page: page.stem)
def test_what_a_page_exports_is_what_it_applies(page: Path, tmp_path: Path) -> None:
    """Its offline commands run as they stand, with what the page adds to the spec; kubectl is a stand-in that reads."""
    path = tmp_path / "bin"
    path.mkdir()
    for name, text in (
        ("amigen", f'exec {sys.executable} -m amigen -q "$@"'),
        ("kubectl", f"exec {sys.executable} -c 'import sys, yaml; assert all(yaml.safe_load_all(sys.stdin))'"),
    ):
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    added: dict[str, Any] = {}
    for block in blocks(page, "yaml"):
        added |= yaml.safe_load(block)
    spec = tmp_path / "node-image.yaml"
    ran = 0
    for line in lines(page):
        if not re.match(r"amigen (init|check|export|user-data) ", line) or "--record" in line:
            continue
        # Files of others in the same folder: another AMI is another folder.
        shutil.rmtree(tmp_path / "infra", ignore_errors=True)
        if "--check" in line:
            subprocess.run(line.removesuffix(" --check"), shell=True, cwd=tmp_path, env=environment(path), check=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=tmp_path,
            env=environment(path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if line.startswith("amigen init") and added:
            whole = {**yaml.safe_load(spec.read_text()), **added, **(joins() if "join" in added else {})}
            spec.write_text(yaml.safe_dump(whole))
        ran += 1

    assert ran >= 3


def environment(path: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def test_terraform_has_the_variables_that_its_page_sets() -> None:
    """And the page sets all that have no default."""
    text = (ROOT / "docs/launch-terraform.md").read_text(encoding="utf-8")
    module = (ROOT / "tests/export/golden/terraform/eks-module/main.tf").read_text(encoding="utf-8")
    declared = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', module, re.M | re.S))
    given = set(re.findall(r"-var '?(\w+)=", text))

    assert given <= declared.keys()
    assert {name for name, body in declared.items() if "default" not in body} <= given


@pytest.mark.parametrize("file", sorted(ROOT.glob("docs/images/*.svg")), ids=lambda file: file.stem)
def test_recordings_show_real_commands(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording loads nothing, stands in the documentation, and its commands are those of today."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node-image.yaml").write_text(yaml.safe_dump(mapping()))
    tree = ElementTree.parse(file)
    rows = ["".join(row.itertext()) for row in tree.iter("{http://www.w3.org/2000/svg}text")]
    shown = [row.removeprefix("$ amigen ") for row in rows if row.startswith("$ amigen ")]
    assert shown
    for command in shown:
        parse(shlex.split(command))
    assert not re.search(r"href|url\(", file.read_text())
    assert f"images/{file.name}" in "".join(page.read_text(encoding="utf-8") for page in PAGES)


def test_the_architecture_names_what_is_there() -> None:
    """Each path of the page exists, and each room is on it."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([\w./-]+)`", text) if "/" in path}
    above = (ROOT, ROOT / "amigen")
    assert [path for path in sorted(named) if not any((folder / path).exists() for folder in above)] == []
    rooms = {path.parent.name for path in (ROOT / "amigen").glob("*/__init__.py")}
    assert rooms - set(re.findall(r"\w+", text)) == set()
