"""`userData.merge`: what render, publish, user-data, explain and check make of a file that the spec names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amigen.base.errors import InputError
from amigen.publish.plan import PublishRequest
from amigen.spec.load import existing_user_data, load_spec
from amigen.userdata.document import parse
from amigen.userdata.make import make
from tests.cli.conftest import Amigen
from tests.specs import mapping
from tests.userdata.test_documents import plan

SpecFile = Callable[..., str]
MERGE = {"userData": {"merge": "existing/script.sh"}}
SCRIPT = b"#!/bin/sh\necho mine\n"


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """The file that the spec names, relative to it."""
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "script.sh").write_bytes(SCRIPT)
    return tmp_path / "existing" / "script.sh"


@pytest.mark.usefixtures("existing")
def test_render_publish_and_user_data_make_the_same_document(
    amigen: Amigen, spec_file: SpecFile, tmp_path: Path
) -> None:
    """The existing part is in all of them, behind amigen's."""
    spec = spec_file(MERGE, {"platforms": ["debian-12"]})
    printed = amigen("user-data", spec)
    rendered = amigen("render", spec, "-o", "out")
    path = str(tmp_path / spec)
    published = PublishRequest(spec=load_spec(path), path=path).user_data["debian-12"]

    assert (printed.returncode, rendered.returncode) == (0, 0), printed.stderr + rendered.stderr
    assert (tmp_path / "out" / "debian-12" / "user-data.mime").read_bytes() == printed.stdout == published
    assert [part.content for part in parse(published).parts][1] == SCRIPT
    assert b"echo mine" in amigen("user-data", "explain", spec, "--for", "self-managed", "--show", "2").stdout


def test_the_file_is_relative_to_the_spec(existing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not to the folder in which amigen runs; `-` has no folder, so there it is the current one."""
    spec = plan(MERGE).spec
    monkeypatch.chdir(existing.parent)

    assert existing_user_data(spec, tmp_path / "spec.yaml") == SCRIPT
    monkeypatch.chdir(tmp_path)
    assert existing_user_data(spec, "-") == SCRIPT


def test_check_names_the_line_of_a_file_that_cannot_be_merged(
    amigen: Amigen, spec_file: SpecFile, tmp_path: Path
) -> None:
    """Missing, or of a kind that no reader takes."""
    spec = spec_file(MERGE)
    missing = amigen("check", spec)
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "script.sh").write_bytes(b"\xff\xfe\x00")
    unreadable = amigen("check", spec)
    (line,) = [n for n, text in enumerate((tmp_path / spec).read_text().splitlines(), 1) if "merge:" in text]

    assert (missing.returncode, unreadable.returncode) == (3, 3)
    assert f"spec.yaml:{line}:".encode() in missing.stderr
    assert b"No such file" in missing.stderr
    assert f"spec.yaml:{line}:".encode() in unreadable.stderr


@pytest.mark.usefixtures("existing")
def test_two_files_to_merge_are_refused(amigen: Amigen, spec_file: SpecFile) -> None:
    """Which of them comes first would be a guess."""
    done = amigen("user-data", spec_file(MERGE), "--merge", "existing/script.sh")

    assert done.returncode == InputError.exit_code
    assert b"the spec merges existing/script.sh already" in done.stderr


def test_the_library_does_not_forget_it() -> None:
    """A plan has no file: who does not give the content is told so, and gets no document without it."""
    with pytest.raises(InputError, match="the content is not given"):
        make(plan(MERGE))


def test_a_node_is_verified_without_the_file(amigen: Amigen, spec_file: SpecFile) -> None:
    """Only what makes user data reads it."""
    assert amigen("plan", spec_file(MERGE)).returncode == 0
    assert mapping(MERGE)["userData"] == {"merge": "existing/script.sh"}
