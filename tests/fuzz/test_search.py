"""What becomes of a search that finds something, or that does not end: it is said, and the other searches go on."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import search_each


def shell(script: str) -> list[str]:
    return ["sh", "-c", script, "sh"]


def test_a_search_that_does_not_end_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Its last words and the input that it wrote are kept; so are those of one that fails."""
    code = search_each(
        {
            "hangs": (shell('echo looking; printf x >"$1/timeout-1"; exec sleep 600'), 2),
            "fails": (shell('echo "Done 7 runs" >&2; printf y >"$1/crash-1"; exit 77'), 60),
            "fine": (shell('echo "Done 9 runs in 1 second(s)"'), 60),
        }
    )
    said = capsys.readouterr().out

    assert code == 1
    for text in (
        "hangs: FOUND SOMETHING (no count)",
        "looking\n",
        "no end within 2 s",
        "timeout-1, base64: eA==",
        "fails: FOUND SOMETHING (Done 7 runs)",
        "crash-1, base64: eQ==",
        "fine: ok (Done 9 runs in 1 second(s))",
        "3 targets in ",
        ", 2 with a finding",
    ):
        assert text in said
    assert search_each({"fine": (shell("exit 0"), 60)}) == 0
