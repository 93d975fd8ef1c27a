"""Two nodes of one image: what they print of themselves, compared; and what user data changes on the second."""

from __future__ import annotations

import pytest

from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.verify.vm import compare_twins, judge_user_data
from tests.specs import spec

FIRST = "0123\nssh-ed25519 AAAA1\nssh-rsa AAAA2\n"


@pytest.mark.parametrize(
    ("second", "machine_id", "host_keys"),
    [
        ("4567\nssh-ed25519 AAAA3\nssh-rsa AAAA4\n", "passed", "passed"),
        ("0123\nssh-ed25519 AAAA3\nssh-rsa AAAA4\n", "failed", "passed"),
        ("4567\nssh-ed25519 AAAA3\nssh-rsa AAAA2\n", "passed", "failed"),
        (FIRST, "failed", "failed"),
        ("4567\n", "passed", "error"),
        ("", "error", "error"),
    ],
)
def test_twins(second: str, machine_id: str, host_keys: str) -> None:
    """One key that both have is enough; a node without any proves nothing."""
    results = {result.id: result for result in compare_twins(FIRST, second)}
    assert results["test_twins[machine-id]"].outcome == machine_id
    assert results["test_twins[host-keys]"].outcome == host_keys
    assert all(r.found and r.todo for r in results.values() if r.outcome == "failed")


@pytest.fixture(scope="module")
def plan() -> ImagePlan:
    hooks = [{"name": "greet", "run": "always", "script": "true"}, {"name": "once", "script": "true"}]
    return plan_image(spec({"platforms": ["debian-12"], "hooks": {"after": hooks}}), "debian-12")


@pytest.mark.parametrize(
    ("said", "outcome", "found"),
    [
        ("amigen: ready: 0 changes\n", "passed", ""),
        ("amigen: running the hook greet\namigen: ready: 1 changes\n", "passed", ""),
        ("amigen: running the hook once\namigen: ready: 1 changes\n", "failed", "running the hook once"),
        ("amigen: writing /etc/amigen/release.json\namigen: ready: 1 changes\n", "passed", ""),
        ("amigen: writing /etc/motd\namigen: ready: 1 changes\n", "failed", "writing /etc/motd"),
        ("amigen: FAILED: no space\n", "failed", "FAILED: no space"),
        ("", "failed", "it said nothing"),
    ],
)
def test_user_data_changes_nothing(plan: ImagePlan, said: str, outcome: str, found: str) -> None:
    """A hook that runs at every boot, and the record of the run itself, do not count."""
    result = judge_user_data(plan, said)
    assert result.outcome == outcome
    assert found in result.found
