"""The rendered suite: valid Python for any spec, and one test per check of the plan."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from amigen.checks.command import CommandCheck
from amigen.checks.file import FileCheck
from amigen.checks.hook import HookCheck
from amigen.checks.model import Check
from amigen.checks.package import PackageCheck
from amigen.checks.release import ReleaseCheck
from amigen.checks.sysctl import SysctlCheck
from amigen.checks.unit import UnitEnabledCheck
from amigen.facts import Wanted
from amigen.plan.model import ImagePlan
from amigen.render.suite import facts_of, suite_files
from tests.verify.images import SPEC, proof_plan

NFTABLES = SPEC.replace("  mode: ipvs\n  ipvs:\n    connTabBits: 16\n", "  mode: nftables\n").replace(
    '"1.34"', '"1.35"'
)


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    return proof_plan(tmp_path)


def with_checks(plan: ImagePlan, *wanted: Check) -> ImagePlan:
    """The plan with these checks and no others."""
    return structs.replace(plan, steps=(), always=wanted)


def collected(plan: ImagePlan, folder: Path) -> list[str]:
    """What pytest collects, as testinfra names it for the local host."""
    for name, text in suite_files(plan).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "amigen.testing.plugin", "-c", "/dev/null"]
    command += ["-p", "no:cacheprovider", "--hosts=local://", str(folder / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split("::")[1] for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("text", [SPEC, NFTABLES], ids=["ipvs", "nftables"])
def test_ids_are_those_of_the_plan(text: str, tmp_path: Path) -> None:
    """Each check of the plan is one test, and there is no other; testinfra puts the host before the subject."""
    plan = proof_plan(tmp_path, text)
    found = [name.replace("[local-", "[") for name in collected(plan, tmp_path)]
    assert sorted(found) == sorted(check.id for check in plan.checks)


def test_order_of_the_tests(plan: ImagePlan, tmp_path: Path) -> None:
    """Loaded modules first; what loads modules last, behind tests of other files."""
    tests = [name.partition("[")[0] for name in collected(plan, tmp_path) if not name.startswith("test_hygiene")]
    assert tests[0] == "test_module_loaded"
    first_probe = tests.index("test_scheduler")
    assert set(tests[first_probe:]) == {"test_scheduler"}


def test_the_same_plan_gives_the_same_text(plan: ImagePlan) -> None:
    assert suite_files(plan) == suite_files(plan)


NASTY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(NASTY, NASTY, st.one_of(st.none(), NASTY))
def test_hostile_strings_stay_strings(path: str, name: str, version: str | None) -> None:
    """Whatever stands in a plan, the rendered tests hold it as a value, and are the same program."""
    plan = _plan_for_hypothesis()
    hostile = with_checks(
        plan,
        FileCheck(path=path, sha256=name, owner=name, group=path, mode=name),
        PackageCheck(name=name, version=version),
        HookCheck(name=name, sha256=path),
        SysctlCheck(key=name, value=path),
        CommandCheck(command=path, argument=name),
        UnitEnabledCheck(unit=name),
        ReleaseCheck(name=path, digest=name),
    )
    hostile = structs.replace(hostile, spec=structs.replace(plan.spec, name=name))
    tree = ast.parse(suite_files(hostile)["tests/test_node.py"])
    tables = {
        t.id: ast.literal_eval(n.value)
        for n in tree.body
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    assert tables["FILES"] == {path: (name, name, path, name)}
    assert tables["PACKAGES"] == {name: version}
    assert tables["COMMANDS"] == {path: name}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == {check.test for check in hostile.checks}
    Wanted.of(facts_of(hostile))


_CACHE: list[ImagePlan] = []


def _plan_for_hypothesis() -> ImagePlan:
    if not _CACHE:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _CACHE.append(proof_plan(Path(folder)))
    return _CACHE[0]


def test_it_is_formatted_as_a_person_would(plan: ImagePlan, tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="not proven here: ruff is not installed")
    for name, text in suite_files(plan).items():
        file = tmp_path / Path(name).name
        file.write_text(text)
        command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "--check", str(file)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0, name
