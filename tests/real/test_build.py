"""The build of the real programs: keyed by its inputs, whole or not at all, and honest where something is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.real import build


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tool without dependencies, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "TOOLS", tmp_path / "tools")
    folder = tmp_path / "tools" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.org/hello\n\ngo 1.21\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    return folder


needs_go = pytest.mark.skipif(not shutil.which("go"), reason="not proven here: no Go toolchain")


@pytest.mark.slow
@needs_go
def test_a_tool_is_built_once(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second build starts no program, and another source is another key."""
    folder = build.build("hello")
    assert (folder / "bin" / "hello-judge").is_file()
    assert [entry.name for entry in folder.parent.iterdir() if not entry.name.endswith(".lock")] == [folder.name]

    monkeypatch.setenv("PATH", "/nowhere")
    assert build.build("hello") == folder
    (tool / "main.go").write_text("package main\n\nfunc main() {}\n")
    assert build.folder_of("hello") != folder


@pytest.mark.slow
@needs_go
def test_what_does_not_compile_leaves_nothing(tool: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The command says so with Go's own error, and no folder is left."""
    (tool / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")

    assert build.main(["hello"]) == 1
    assert "undefined: nothing" in capfd.readouterr().err
    assert not [entry for entry in build.folder_of("hello").parent.iterdir() if entry.is_dir()]


@pytest.mark.parametrize("case", ["no go", "old go", "no module"])
def test_what_cannot_be_had_is_not_proven(
    case: str, tool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No Go, a Go that is too old, a module that cannot be had: reported, and no failure."""
    if case == "no go":
        monkeypatch.setenv("PATH", "/nowhere")
    elif not shutil.which("go"):
        pytest.skip("not proven here: no Go toolchain")
    if case == "old go":
        (tool / "go.mod").write_text("module example.org/hello\n\ngo 1.999\n")
    if case == "no module":
        monkeypatch.setenv("GOPROXY", "off")
        monkeypatch.setenv("GOMODCACHE", os.fspath(tool.parent.parent / "modules"))
        (tool / "main.go").write_text('package main\n\nimport _ "example.org/other"\n\nfunc main() {}\n')

    assert build.main(["hello"]) == 0
    assert "hello: not built, its tests are not proven here: " in capsys.readouterr().out
    with pytest.raises(pytest.skip.Exception, match=r"^not proven here: hello is not built"):
        build.program("hello")


def test_an_unknown_tool_is_refused(tool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists those that there are."""
    assert build.main(["nodeadmin"]) == 2
    assert "there are: hello" in capsys.readouterr().err
