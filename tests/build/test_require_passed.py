"""What a build goes on with: checks that passed, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from amigen.base.errors import AmigenError, ChecksFailedError, CouldNotCheckError
from amigen.build.proof import require_passed
from amigen.build.record import CheckRecord, Outcome


def check(name: str, outcome: Outcome, message: str = "") -> CheckRecord:
    return CheckRecord(id=name, when="builder", outcome=outcome, message=message)


PASSED = check("test_package[ipvsadm]", "passed")
FAILED = check("test_module_loaded[ip_vs]", "failed", "expected: loaded\nfound: absent")
BROKEN = check("test_sysctl[a]", "error", "found: no answer")
NO_KERNEL = check("test_scheduler[rr]", "not provable", "found: a container borrows the kernel")
NO_CLUSTER = check("test_joined[kubelet]", "not provable")
LOGS = check("test_hygiene[logs]", "not provable")
NO_USER_DATA = check("test_cloud_init_once[user-data]", "not provable")


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
def test_all_else_does(results: tuple[CheckRecord, ...], kind: type[AmigenError], words: str) -> None:
    with pytest.raises(kind) as caught:
        require_passed(results, "the builder")
    assert words in caught.value.message
