"""The plugin in a pytest of its own, on a folder: an unpacked root, which proves least."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

COMMON = """
import pytest

@pytest.fixture
def broken(host):
    raise RuntimeError("it was set up")

@pytest.mark.needs_kernel
def test_kernel(host, broken): ...

@pytest.mark.needs_cluster("kubelet.service")
@pytest.mark.needs_boot
def test_boot(host): ...

@pytest.mark.before_first_boot
def test_image(host): ...

@pytest.mark.needs_kernel
def test_without_a_host(): ...

def test_without_a_marker(host): ...
"""
# Units of the class, and nearer ones of the test; the host runs one of them.
NEAREST = """
import pytest

class Done:
    def __init__(self, stdout):
        self.stdout = stdout

class Host:
    backend = None
    def run(self, command, *arguments):
        if "%s" in command:
            return Done("active" if arguments == ("near.service",) else "inactive")
        return Done("proc yes\\ninit-root same\\nsecond kthreadd\\nsystemd yes\\n")

@pytest.fixture
def host():
    return Host()

@pytest.mark.needs_cluster("far.service")
class TestJoined:
    @pytest.mark.needs_cluster("near.service")
    def test_near(self, host): ...
    def test_far(self, host): ...
"""
# A host that is none of testinfra's.
OWN_HOST = """
import pytest
from testinfra.backend.chroot import ChrootBackend

class Own:
    backend = ChrootBackend("/nonexistent")

@pytest.fixture
def host():
    return Own()
"""


def outcomes(folder: Path, *arguments: str, text: str = COMMON) -> dict[str, str]:
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-c",
        "/dev/null",
        f"--rootdir={folder}",
        "-p",
        "no:cacheprovider",
        "test_it.py",
    ]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    found = re.findall(r"^test_it\.py::(?:TestJoined::)?(\w+)\S* (\w+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return dict(found)


def test_what_proves_nothing_is_skipped_before_it_is_set_up(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert outcomes(tmp_path, f"--hosts=chroot://{root}") == {
        "test_kernel": "SKIPPED",
        "test_boot": "SKIPPED",
        "test_image": "PASSED",
        "test_without_a_host": "PASSED",
        "test_without_a_marker": "PASSED",
    }


def test_of_a_host_of_the_users_own_it_is_known_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(OWN_HOST)
    found = outcomes(tmp_path)
    assert found["test_boot"] == "SKIPPED"
    assert found["test_kernel"] == "ERROR"
    assert found["test_without_a_marker"] == "PASSED"


def test_the_nearest_marker_counts(tmp_path: Path) -> None:
    """Of a test and of its class, as pytest has it everywhere."""
    assert outcomes(tmp_path, text=NEAREST) == {"test_near": "PASSED", "test_far": "SKIPPED"}


STRANGER = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--hosts", default="mine")

@pytest.fixture
def host(request):
    return request.config.getoption("--hosts")

@pytest.fixture
def node(host):
    return "a node of " + host
"""
STRANGERS_TEST = """
import pytest

@pytest.mark.needs_boot
@pytest.mark.loads_modules
def test_first(host, node):
    assert (host, node) == ("mine", "a node of mine")

def test_second(host): ...
"""


def test_the_suite_of_a_stranger_runs_as_without_amigen(tmp_path: Path) -> None:
    """With a `host`, a `node`, a marker and an option of its own; `--hosts` is testinfra's, which it can leave out."""
    (tmp_path / "conftest.py").write_text(STRANGER)
    (tmp_path / "test_own.py").write_text(STRANGERS_TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:pytest11.testinfra"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_prefixed_names_mean_the_same(tmp_path: Path) -> None:
    """Markers and fixtures."""
    (tmp_path / "test_own.py").write_text(
        "import pytest\n\n@pytest.mark.amigen_needs_boot\ndef test_boot(host): ...\n\n"
        "def test_node(host, amigen_node, amigen_kernel_module):\n"
        "    assert amigen_node.kernel is not None and not amigen_kernel_module('no-such').is_loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "--strict-markers", "--hosts=local://"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout
    assert "1 skipped" in done.stdout
    assert "not provable" in done.stdout
