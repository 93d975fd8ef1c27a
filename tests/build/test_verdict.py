"""What a build goes on with: checks that passed, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.build.verdict import Result, require_passed

PASSED = Result(id="test_package[ipvsadm]", outcome="passed")
FAILED = Result(id="test_module_loaded[ip_vs]", outcome="failed", message="expected: loaded\nfound: absent")
BROKEN = Result(id="test_sysctl[a]", outcome="error", message="found: no answer")
NO_KERNEL = Result(id="test_scheduler[rr]", outcome="not provable", message="found: a container borrows the kernel")
NO_CLUSTER = Result(id="test_joined[kubelet]", outcome="not provable")
LOGS = Result(id="test_hygiene[logs]", outcome="not provable")
NO_USER_DATA = Result(id="test_cloud_init_once[user-data]", outcome="not provable")


def test_what_is_known_to_be_not_provable_does_not_stop_a_build() -> None:
    require_passed((PASSED, NO_CLUSTER, LOGS, NO_USER_DATA), "the builder")


@pytest.mark.parametrize(
    ("results", "kind", "words"),
    [
        ((), CouldNotCheckError, "no check passed on the builder"),
        ((NO_CLUSTER, LOGS, NO_USER_DATA), CouldNotCheckError, "no check passed on the builder"),
        ((PASSED, NO_KERNEL), CouldNotCheckError, "test_scheduler[rr]: found: a container borrows the kernel"),
        ((PASSED, BROKEN), CouldNotCheckError, "test_sysctl[a]: found: no answer"),
        ((PASSED, FAILED, BROKEN, NO_KERNEL), ChecksFailedError, "1 of 4 checks failed on the builder; no image"),
    ],
)
def test_all_else_does(results: tuple[Result, ...], kind: type[AmigenError], words: str) -> None:
    with pytest.raises(kind) as caught:
        require_passed(results, "the builder")
    assert words in caught.value.message
