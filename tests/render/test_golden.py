"""Golden cases, compared to the byte, and their scripts under the tools of the language.

Three cases are whole rendered folders; of the others, plan.json says what differs.

After a change that is meant: `pytest tests/render/test_golden.py --renew-golden`, and read the diff.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amigen.checks.model import InstallGate
from amigen.plan.make import plan_images
from amigen.render.artifacts import Artifact, artifacts
from amigen.spec.load import load_spec
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.make import user_data
from amigen.userdata.packed import settled
from tests.specs import EXAMPLES, GOLDEN, ROOT

CASES = sorted(path.parent for path in GOLDEN.glob("*/spec.yaml"))
# These have every kind of step, both package managers, both ways to join and two modes between them.
WHOLE = ("kitchen-sink", "minimal", "nftables")
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def rendered(case: Path) -> tuple[Artifact, ...]:
    return artifacts(load_spec(case / "spec.yaml"))


def golden(case: Path) -> tuple[Artifact, ...]:
    """What of a rendered folder is kept."""
    whole = case.name in WHOLE
    return tuple(each for each in rendered(case) if whole or each.path.endswith("/plan.json"))


def renew(folder: Path, wanted: tuple[Artifact, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for artifact in wanted:
        file = folder / artifact.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(artifact.content)
        file.chmod(0o755 if artifact.executable else 0o644)


@cases
def test_rendered_folder_is_the_golden_one(case: Path, renew_golden: bool) -> None:
    """Paths, contents and executable bits of all files."""
    wanted, folder = golden(case), case / "expected"
    if renew_golden:
        renew(folder, wanted)
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}

    assert sorted(there) == [artifact.path for artifact in wanted]
    for artifact in wanted:
        expected = (folder / artifact.path).read_bytes()
        if settled(expected) != settled(artifact.content):
            then, now = (text.decode("utf-8", "replace").splitlines() for text in (expected, artifact.content))
            pytest.fail("\n".join(difflib.unified_diff(then, now, f"{case.name}/{artifact.path}", "now", lineterm="")))
        assert artifact.executable == os.access(folder / artifact.path, os.X_OK)


def test_every_example_is_a_golden_case() -> None:
    """A new example gets its golden folder."""
    assert {path.resolve() for path in EXAMPLES} <= {(case / "spec.yaml").resolve() for case in CASES}


def scripts(case: Path) -> Iterator[tuple[str, bytes]]:
    """Every shell script of amigen's in a case: of the folder, of its user data in each format, and of the gate."""
    for artifact in rendered(case):
        if artifact.path.endswith(".sh") and "/user-data." not in artifact.path:
            yield artifact.path.replace("/", "-"), artifact.content
    for plan in plan_images(load_spec(case / "spec.yaml")):
        for part in parse(user_data(plan)).parts:
            if part.type == mime.SHELL:
                yield f"{plan.platform}-user-data.sh", part.content
        for step in plan.steps:
            for file in step.files if isinstance(step, InstallGate) else ():
                if file.content.startswith(b"#!"):
                    yield f"{plan.platform}-{file.path.rpartition('/')[2]}.sh", file.content


@pytest.fixture(scope="module")
def script_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The scripts of each case as files; equal ones once."""
    folders: dict[str, list[str]] = {}
    seen: set[bytes] = set()
    for case in CASES:
        folder = tmp_path_factory.mktemp(case.name)
        for name, content in scripts(case):
            if content not in seen:
                seen.add(content)
                (folder / name).write_bytes(content)
        folders[case.name] = sorted(str(file) for file in folder.iterdir())
    return folders


TOOLS = (["bash", "-n"], ["shellcheck", "--norc"], ["shfmt", "-d"])


@pytest.mark.parametrize("tool", TOOLS, ids=" ".join)
@cases
def test_scripts_pass(case: Path, tool: list[str], script_folders: dict[str, list[str]]) -> None:
    """What we render is what a careful person would write by hand."""
    if not shutil.which(tool[0]):
        pytest.skip(f"needs {tool[0]}")
    files = script_folders[case.name]
    runs = [[*tool, file] for file in files] if tool[0] == "bash" else [[*tool, *files]]
    for command in runs if files else []:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_case_has_scripts(script_folders: dict[str, list[str]]) -> None:
    """The test above is not green for want of files."""
    assert all(script_folders.values())
    assert any(file.endswith("ready.sh") for files in script_folders.values() for file in files)
    assert any(file.endswith("user-data.sh") for files in script_folders.values() for file in files)


def test_two_processes_render_the_same_bytes() -> None:
    """Neither the order of hashes nor the time, nor the place, is in the output."""
    code = (
        "import hashlib, sys\nfrom amigen import artifacts, load_spec\n"
        "for path in sys.argv[1:]:\n"
        "    for a in artifacts(load_spec(path)): print(a.path, a.executable, hashlib.sha256(a.content).hexdigest())\n"
    )
    specs = [str(case / "spec.yaml") for case in CASES]
    seen = [
        subprocess.run(
            [sys.executable, "-c", code, *specs],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": cache},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed, zone, cwd, cache in (("1", "UTC", "/", "/nonexistent"), ("77", "Asia/Tokyo", "/tmp", "/dev/null"))
    ]

    assert seen[0] == seen[1]
    assert len(seen[0].splitlines()) > 50
