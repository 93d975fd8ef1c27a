"""What all tests share: the flag that renews golden files, how long hypothesis searches, and what runs first."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# ci: the same examples at every run, so that a failure is the change's and not the dice's. dev: new ones, and more.
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET)
settings.register_profile("dev", max_examples=500, deadline=None, print_blob=True, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
# It also draws constants out of the modules of ours that happen to be loaded, which differ from run to run.
providers._get_local_constants = lambda: providers._local_constants


# What ignores them (nohup, a shell's `&`) passes that on, and the programs of the tests are to hear them as users' do.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
    "build/test_local_build.py",
    "verify/test_vm.py",
    "build/test_aws_build.py",
    "publish/test_faults.py",
    "node/test_faults.py",
)


# One real proof of each kind, for `make test`; a file, or a test of one.
_PROOFS = (
    "node/test_roots.py",  # real apt and dnf in roots
    "build/test_local_build.py::test_the_dnf_stand_in",  # Packer, a VM that boots, the checks, a reboot
    "node/test_gate_vm.py",  # a node with apt: user data, the gate, a reboot
    "build/test_aws_build.py::test_an_ami_is_built_proven_copied_and_shared",
    "build/test_packer_files.py",
    "publish/test_publish.py",
    "cli/test_core.py",
    "userdata/test_cloud_init_judges.py",
    "userdata/test_karpenter_judges.py",
    "userdata/test_nodeadm_judges.py",
    "spec/test_nodeadm_reads.py",
    "export/test_export.py",
    "vm/test_vm_parts.py",
)
# The longest, whose kind another test in `make proofs` proves; docs/proof.md says when each was last seen.
_LONG = (
    "build/test_arm64.py",
    "build/test_local_build.py::test_debian_13",
    "build/test_official_base.py",
    "kubeproxy/test_real_node.py",
    "kubeproxy/test_real_moves.py",
    "node/test_gate_cells_vm.py",
    "verify/test_breaks.py",
    "verify/test_breaks_vm.py",
    "vm/test_secure_boot.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the slow tests that `make test` runs, and those that only `make proofs-long` runs."""
    if item.get_closest_marker("slow") or item.path.parent.name == "publish":
        test = f"{item.path.parent.name}/{item.path.name}"
        names = {test, f"{test}::{getattr(item, 'originalname', item.name)}"}
        for marker, listed in (("proof", _PROOFS), ("long", _LONG)):
            if names & set(listed):
                item.add_marker(marker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A short list of what was not proven here, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped if report.longrepr)
    if reasons:
        terminalreporter.section("not proven here")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4} {reason.removeprefix('not proven here: ')}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get("/".join(item.path.parts[-2:]), len(place)))
