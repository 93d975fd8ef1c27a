"""What a build shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from amigen.build.progress import LiveProgress, Progress, make_progress


def test_plain_lines_with_the_seconds() -> None:
    out = io.StringIO()
    ticks = iter((100.0, 100.0, 102.5, 161.25))
    with Progress(out, clock=lambda: next(ticks)) as progress:
        progress.phase("debian-12/x86_64", "base")
        progress.line("debian-12/x86_64", "processor: KVM")
        progress.end("debian-12/x86_64", "built: disk.qcow2", well=True)
    assert out.getvalue().splitlines() == [
        "    0.0s debian-12/x86_64: base",
        "    2.5s debian-12/x86_64:   processor: KVM",
        "   61.2s debian-12/x86_64: built: disk.qcow2",
    ]


@pytest.mark.parametrize(
    ("terminal", "environment", "kind"),
    [
        (True, {"TERM": "xterm"}, LiveProgress),
        (True, {"TERM": "xterm", "CI": "true"}, Progress),
        (True, {"TERM": "dumb"}, Progress),
        (False, {"TERM": "xterm"}, Progress),
    ],
)
def test_which_one(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], kind: type[object]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert type(make_progress()) is kind


def test_live(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said stays on the screen, as it was said."""
    with LiveProgress() as progress:
        progress.phase("a/x86_64", "base")
        progress.line("a/x86_64", "[bold] is no markup")
        progress.end("a/x86_64", "failed; nothing was kept", well=False)
    said = capsys.readouterr().err
    assert "a/x86_64: [bold] is no markup" in said
    assert "a/x86_64: failed; nothing was kept" in said
