"""What a target is, told from one command's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amigen.facts.surroundings import parse_surroundings

MACHINE = "proc yes\ninit-root same\nsecond kthreadd\nsystemd yes\n"


def test_a_machine_proves_everything() -> None:
    found = parse_surroundings(MACHINE)
    assert [found.lacks(need) for need in ("kernel", "boot", "cluster")] == ["", "", ""]


@pytest.mark.parametrize(
    ("text", "kernel", "boot"),
    [
        ("second \n", "unpacked", "unpacked"),  # a chroot without /proc
        (
            MACHINE.replace("init-root same", "init-root other"),
            "unpacked",
            "unpacked",
        ),  # a chroot with the machine's /proc
        (MACHINE.replace("kthreadd", "sh"), "container", ""),  # process ids of its own: some container
        (MACHINE + "container podman\n", "container (podman)", ""),
        (MACHINE.replace("systemd yes\n", "container docker\n"), "container (docker)", "systemd does not run in this"),
        (MACHINE.replace("systemd yes\n", ""), "", "systemd does not run here"),
        ("", "unpacked", "unpacked"),  # nothing answers
    ],
)
def test_what_cannot_be_proved(text: str, kernel: str, boot: str) -> None:
    found = parse_surroundings(text)
    for need, expected in (("kernel", kernel), ("boot", boot)):
        reason = found.lacks(need)  # type: ignore[arg-type]
        assert expected in reason
        assert bool(reason) == bool(expected)


def test_without_root_the_root_of_process_1_is_not_known() -> None:
    """That alone makes no chroot."""
    assert not parse_surroundings(MACHINE.replace("init-root same\n", "")).chroot


@given(st.text(max_size=200))
def test_takes_anything(text: str) -> None:
    parse_surroundings(text)
