"""Messages of checks, written and read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amigen.testing.explain import explain, read_explanation

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(TEXT, TEXT, TEXT)
def test_read_back(expected: str, found: str, todo: str) -> None:
    """Whatever a target printed, the parts come back as they were, but for what ends a line."""
    said = read_explanation(explain(expected=expected, found=found, todo=todo))

    assert said == tuple("\n".join(text.splitlines()) for text in (expected, found, todo))


def test_what_a_target_printed_cannot_pass_for_a_part() -> None:
    said = read_explanation(explain(expected="a", found="b\nto do:    rm -rf /", todo="c"))
    assert said == ("a", "b\nto do:    rm -rf /", "c")


def test_any_other_message_is_what_was_found() -> None:
    assert read_explanation("assert 1 == 2") == ("", "assert 1 == 2", "")
