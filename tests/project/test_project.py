"""The files of the project: each by its own linter where there is one, and the GitHub Action run by hand.

Not proven here: that GitHub runs the workflows, and that the Containerfile builds.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amigen.spec.load import load_spec
from tests.specs import ROOT, mapping

BIN = Path(sys.executable).parent


def tool(name: str) -> str:
    """A program beside Python or in PATH, or the current test is skipped."""
    found = shutil.which(name, path=f"{BIN}:{os.environ['PATH']}")
    if not found:
        pytest.skip(f"not proven here: no {name}")
    return found


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("github-workflows", ".github/workflows/*.yml"), ("github-actions", "action.yml")],
)
def test_workflows_and_action_have_their_form(schema: str, pattern: str) -> None:
    """By the schemas that check-jsonschema brings."""
    files = [str(file) for file in sorted(ROOT.glob(pattern))]
    assert files
    command = [tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["zizmor", "--offline", ".github", "action.yml"],
        ["hadolint", "Containerfile"],
        ["pre-commit", "validate-manifest", ".pre-commit-hooks.yaml"],
        ["shellcheck", "tools/action"],
        ["shfmt", "-i", "2", "-d", "tools/action"],
    ],
    ids=lambda command: str(command[0]),
)
def test_files_pass_their_linter(command: list[str]) -> None:
    """Where it is installed."""
    done = subprocess.run(
        [tool(command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_has_the_versions_that_the_package_supports() -> None:
    """From the lowest that pyproject.toml allows."""
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    lowest = re.search(r'requires-python = ">=(3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest

    assert ci["jobs"]["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert lowest[1] == ci["jobs"]["lowest"]["steps"][1]["with"]["python-version"] == "3.11"


def action(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The script of the GitHub Action, as the action starts it."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "amigen"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m amigen "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **inputs}
    return subprocess.run(
        ["bash", str(ROOT / "tools/action")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_action_annotates_what_check_finds(tmp_path: Path) -> None:
    """At the line, with the exit code of `amigen check`; nothing in a finding can end its line."""
    (tmp_path / "node-image.yaml").write_text(yaml.safe_dump(mapping({"name": "a%0A::b", "platforms": ["windows"]})))
    done = action(tmp_path)

    assert done.returncode == 3
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert any(re.match(r"::error file=node-image.yaml,line=\d+::platforms\[0\]: ", line) for line in annotations)
    assert not any(line.startswith("::b") for line in done.stdout.splitlines())


def test_the_action_compares_the_rendered_folder(tmp_path: Path) -> None:
    """It passes what is as rendered, and fails on what is not."""
    (tmp_path / "node-image.yaml").write_text(yaml.safe_dump(mapping()))
    assert action(tmp_path, SPECS="node-image.yaml").returncode == 0
    subprocess.run(
        [sys.executable, "-m", "amigen", "render", "node-image.yaml", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
        capture_output=True,
    )
    assert action(tmp_path, SPECS="node-image.yaml", RENDERED="out").returncode == 0
    (tmp_path / "out/README.md").write_text("edited\n")
    done = action(tmp_path, SPECS="node-image.yaml", RENDERED="out")

    assert done.returncode == 4
    assert "::error::out is not what its spec says" in done.stdout


def test_a_long_module_says_its_one_idea() -> None:
    """A module of more than 300 lines that holds two ideas is two modules."""
    long = {path: text for path in (ROOT / "amigen").rglob("*.py") if (text := path.read_text()).count("\n") > 300}

    assert [
        str(path) for path, text in long.items() if "one idea" not in (ast.get_docstring(ast.parse(text)) or "").lower()
    ] == []


def test_links_between_documents_lead_somewhere() -> None:
    """In README, the project's pages and docs/; the site's builder looks at those of docs/ again, with anchors."""
    for file in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", file.read_text(encoding="utf-8")):
            assert (file.parent / link).exists(), f"{file.name}: {link}"


def test_the_site_builds(tmp_path: Path) -> None:
    """Strictly: every page in the navigation, every link and anchor found."""
    program = tool("mkdocs")
    pytest.importorskip("material", reason="not proven here: no mkdocs-material")
    done = subprocess.run(
        [program, "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there."""
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    (tmp_path / "node-image.yaml").write_text(yaml.safe_dump(mapping()))
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "bytes of user data" in done.stdout
    assert load_spec("node-image.yaml").name == "ipvs-nodes"


def test_the_python_page_lists_what_is_public() -> None:
    """Every name of the package."""
    import amigen

    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert [name for name in amigen.__all__ if name not in page] == []


EXAMPLES = """
import sys
import tests.conftest
from hypothesis import given, strategies as st

for name in sys.argv[1:]:
    __import__(name)

@given(st.text(max_size=200), st.integers())
def show(text, number):
    print(repr(text), number)

show()
"""


def test_the_examples_are_the_same_at_every_run() -> None:
    """Whatever modules a worker has loaded before."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", EXAMPLES, *modules],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HYPOTHESIS_PROFILE": "ci"},
            capture_output=True,
            check=True,
        ).stdout
        for modules in ((), ("amigen.spec.load", "amigen.kubeproxy.plan"))
    ]
    assert runs[0].count(b"\n") == 100
    assert runs[0] == runs[1]
