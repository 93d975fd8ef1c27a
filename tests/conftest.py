"""What all tests share: the flag that renews golden files, how long hypothesis searches, and what runs first."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# ci: the same examples at every run, so that a failure is the change's and not the dice's. dev: new ones, and more.
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET)
settings.register_profile("dev", max_examples=500, deadline=None, print_blob=True, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# What ignores it (nohup) passes that on, and the programs of the tests are to hear it as users' do.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="Write the expected files of tests/golden anew.")


@pytest.fixture
def renew_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--renew-golden"))


# Minutes each. Begun first, the others run beside them, and no worker is the last one at work (`--dist loadfile`).
_LONGEST = (
    "build/test_local_faults.py",
    "node/test_gate_vm.py",
    "node/test_nodeadm_vm.py",
    "kubeproxy/test_real_node.py",
    "build/test_local_build.py",
    "verify/test_vm.py",
    "build/test_aws_build.py",
    "publish/test_faults.py",
    "node/test_faults.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get("/".join(item.path.parts[-2:]), len(place)))
