"""`amigen verify` with the lowest declared pytest and pytest-testinfra, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.verify.images import SPEC

ROOT = Path(__file__).parents[2]


def lowest(name: str) -> str:
    """`pytest>=8.2` in the dependencies -> `pytest==8.2`."""
    found = re.search(rf'^ +"{re.escape(name)}>=([0-9.]+)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found, name
    return f"{name}=={found[1]}"


@pytest.fixture(scope="module")
def lowest_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with amigen and the lowest declared versions of what it calls to verify."""
    venv = tmp_path_factory.mktemp("lowest")
    pins = [lowest("pytest"), lowest("pytest-testinfra")]
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-e", str(ROOT), *pins], check=True, timeout=600)
    return venv / "bin/python"


def outcomes(python: Path, spec: Path, *arguments: str) -> Mapping[str, str]:
    command = [str(python), "-m", "amigen", "verify", str(spec), "local", "--output", "json", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, cwd=spec.parent, capture_output=True, timeout=300, check=False)
    assert done.returncode in (6, 7), done.stderr.decode()
    return {result["id"]: result["outcome"] for result in json.loads(done.stdout)["results"]}


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["rendered", "with own tests"])
def test_the_lowest_declared_versions_find_what_the_newest_find(lowest_python: Path, tmp_path: Path, own: bool) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    if own:
        (tmp_path / "checks").mkdir()
        (tmp_path / "checks/test_own.py").write_text("def test_own(host):\n    assert host.file('/etc').is_directory\n")
    found = outcomes(lowest_python, spec)
    assert found == outcomes(Path(sys.executable), spec)
    assert "test_package[ipvsadm]" in found
    assert not own or found["checks/test_own.py::test_own"] == "passed"
