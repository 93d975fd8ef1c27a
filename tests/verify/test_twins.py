"""Two nodes of one image: what they print of themselves, compared."""

from __future__ import annotations

import pytest

from amigen.verify.vm import compare_twins

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
