"""The rendered folder: all of it or nothing, and nothing of somebody else's."""

# ruff: noqa: E501, PTH208

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amigen.base.errors import ConflictError, RefusedError
from amigen.render import folder
from amigen.render.artifacts import Artifact, artifacts
from amigen.render.folder import MANIFEST, compare, write
from tests import specs as made
from tests.specs import ROOT

OLD = tuple(Artifact(path=f"d{n % 3}/f{n}", content=b"old %d\n" % n) for n in range(12))
NEW = tuple(Artifact(path=f"d{n % 3}/f{n}", content=b"new %d\n" % n, executable=n == 5) for n in range(1, 13))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the manifest."""
    found = (file for file in folder.rglob("*") if file.is_file() or file.is_symlink())
    return {
        f.relative_to(folder).as_posix(): bytes(f.readlink()) if f.is_symlink() else f.read_bytes()
        for f in found
        if f.name != MANIFEST
    }


def content(wanted: tuple[Artifact, ...]) -> dict[str, bytes]:
    return {artifact.path: artifact.content for artifact in wanted}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with the old state."""
    write(tmp_path / "out", OLD)
    return tmp_path / "out"


def test_writes_what_is_wanted(out: Path) -> None:
    """Every file, its executable bit, no file that is not wanted any more, and nothing beside the folder."""
    write(out, NEW)

    assert content(NEW) == tree(out)
    assert [path for path in tree(out) if os.access(out / path, os.X_OK)] == ["d2/f5"]
    assert os.listdir(out.parent) == ["out"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    """`-o a/b/c` needs no mkdir."""
    write(tmp_path / "a" / "b" / "c", OLD)

    assert content(OLD) == tree(tmp_path / "a" / "b" / "c")


def test_the_second_time_nothing_is_written(out: Path) -> None:
    """The same folder: not one inode is new."""
    before = {file: file.stat().st_ino for file in out.rglob("*")}

    assert write(out, OLD).changes == ()
    assert before == {file: file.stat().st_ino for file in out.rglob("*")}


@pytest.mark.parametrize("path", ["d1/f1", "d0/f0"], ids=["still wanted", "stale"])
def test_a_file_edited_by_hand_is_kept(out: Path, path: str) -> None:
    """Refused with its name, and everything stands as it was; --force overwrites it."""
    (out / path).write_text("mine")
    before = tree(out)

    with pytest.raises(ConflictError, match=path):
        write(out, NEW)
    assert before == tree(out)
    assert (path,) == write(out, NEW, force=True).edited
    assert content(NEW) == tree(out)


def test_an_edit_that_is_what_the_spec_says_is_no_conflict(out: Path) -> None:
    """Who made the same change by hand is not asked."""
    (out / "d1/f1").write_bytes(content(NEW)["d1/f1"])
    write(out, NEW)

    assert content(NEW) == tree(out)


def test_files_of_others_are_carried_over(out: Path) -> None:
    """Own files, links, empty folders and modes of folders stay."""
    (out / "own" / "deep").mkdir(parents=True)
    (out / "own" / "empty").mkdir(mode=0o700)
    (out / "own" / "deep" / "x").write_text("mine")
    (out / "d1" / "mine").write_text("mine")
    (out / "link").symlink_to("/etc/passwd")
    (out / "link-to-folder").symlink_to("/etc")
    (out / "own").chmod(0o750)
    write(out, NEW)

    mine = {"own/deep/x": b"mine", "d1/mine": b"mine", "link": b"/etc/passwd", "link-to-folder": b"/etc"}
    assert content(NEW) | mine == tree(out)
    assert (out / "own" / "empty").is_dir()
    assert (out / "own").stat().st_mode & 0o777 == 0o750


def test_a_file_of_others_that_cannot_be_carried_over(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, told with the file; everything stands as it was."""
    (out / "mine").write_text("mine")
    before = tree(out)

    def full(*_given: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match=r"out/mine: \[Errno 28\] No space left on device$"):
        write(out, NEW)
    assert before == tree(out)
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize(
    "what", ["file", "link", "dangling link", "folder", "pipe", "file for folder", "link for folder"]
)
def test_something_of_others_in_the_way(out: Path, what: str, tmp_path: Path) -> None:
    """Whatever stands where a file is to be written is a conflict; with --force it goes, and nothing outside changes."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "f13").write_text("theirs")
    place = out / ("d9" if "for folder" in what else "d9/f13")
    place.parent.mkdir(exist_ok=True)
    if what.startswith("file"):
        place.write_text("theirs")
    elif what == "folder":
        (place / "in").mkdir(parents=True)
        (place / "in" / "x").write_text("theirs")
    elif what == "pipe":
        os.mkfifo(place)
    else:
        targets = {"link": other / "f13", "dangling link": Path("/nowhere"), "link for folder": other}
        place.symlink_to(targets[what])
    wanted = (*OLD, Artifact(path="d9/f13", content=b"ours"))

    with pytest.raises(ConflictError, match="d9/f13"):
        write(out, wanted)
    write(out, wanted, force=True)

    assert content(wanted) == tree(out)
    assert tree(other) == {"f13": b"theirs"}


@pytest.mark.parametrize(
    "manifest", [b"", b"[]", b"{}", b'{"files": []}', b"\xff", b"[" * 100_000], ids=lambda m: repr(m[:8])
)
def test_a_broken_manifest_stops(out: Path, manifest: bytes) -> None:
    """Without it it is unknown whose the files are."""
    (out / MANIFEST).write_bytes(manifest)

    with pytest.raises(ConflictError, match="not a manifest"):
        write(out, NEW)
    assert content(OLD) == tree(out)


@pytest.mark.parametrize("path", ["../victim", "/etc/victim", "d1/../../victim", "a\\u0000b", "", "."])
def test_a_manifest_leads_nowhere_outside(out: Path, path: str) -> None:
    """A forged manifest cannot make amigen touch a file that is not in the folder."""
    (out.parent / "victim").write_text("x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    (out / MANIFEST).write_text(f'{{"files": {{"{path}": "{digest}"}}}}')
    write(out, OLD, force=True)

    assert (out.parent / "victim").read_text() == "x"
    assert content(OLD) == tree(out)


def test_places_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, one above it, one without a name, a link, a file."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "here")
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path / "here")
    before = tree(tmp_path)

    for place in (".", "..", "", "/", str(tmp_path), "below/..", "../link", "../file", f"{tmp_path}/here/below/../.."):
        with pytest.raises(RefusedError):
            write(Path(place), OLD)
    assert before == tree(tmp_path)


def test_names_with_signs_of_patterns(tmp_path: Path) -> None:
    """A folder name is a name, also with brackets and stars, and a neighbour that looks like ours is left alone."""
    out = tmp_path / "o[u]*t"
    (tmp_path / ".out.amigen-12abc").mkdir()
    (tmp_path / ".o[u]*t.amigen-99999999999999999999").mkdir()
    write(out, OLD)
    write(out, NEW)

    assert content(NEW) == tree(out)
    assert len(os.listdir(tmp_path)) == 3


def test_what_a_killed_run_left_is_swept(out: Path) -> None:
    """Also where nothing else is to be done."""
    (out.parent / ".out.amigen-new").mkdir()
    (out.parent / ".out.amigen-new" / "half").write_text("x")
    write(out, OLD)

    assert os.listdir(out.parent) == ["out"]


def test_a_cut_between_two_renames_is_undone(out: Path) -> None:
    """Where a file system cannot exchange, the old folder stands aside for a moment; an edit in it is still seen."""
    (out / "d1" / "f1").write_text("mine")
    out.rename(out.parent / ".out.amigen-old")

    with pytest.raises(ConflictError, match="d1/f1"):
        write(out, NEW)
    assert tree(out)["d1/f1"] == b"mine"


def test_without_exchange_the_result_is_the_same(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without renameat2."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kw: object())
    write(out, NEW)

    assert content(NEW) == tree(out)
    assert os.listdir(out.parent) == ["out"]


def test_compare_writes_nothing(out: Path) -> None:
    """--check and --diff only look."""
    before = {file: file.stat().st_mtime_ns for file in out.parent.rglob("*")}
    found = compare(out, NEW)

    assert {"d0/f0": "remove", "d0/f12": "add", "d1/f1": "change"}.items() <= {
        c.path: c.word for c in found.changes
    }.items()
    assert before == {file: file.stat().st_mtime_ns for file in out.parent.rglob("*")}


_CHANGE_THE_DISK: tuple[tuple[Any, str], ...] = (
    (os, "open mkdir link fsync fchmod rename unlink rmdir"),
    (shutil, "copystat rmtree"),
    (folder, "_exchange _put"),
)


def killed_at(point: int, out: Path, exchange: str) -> int:
    """Write `NEW` in a fork that kills itself before the N-th call of those that change the disk; what it ended with."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = itertools.count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    try:
        for owner, names in _CHANGE_THE_DISK:
            for name in names.split():
                setattr(owner, name, counted(getattr(owner, name)))
        if exchange == "plain":
            ctypes.CDLL = lambda *_args, **_kw: object()  # type: ignore[assignment,misc]
        write(out, NEW)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@pytest.mark.parametrize("exchange", ["exchange", "plain"])
@pytest.mark.parametrize("point", [0, 1, 3, 20, 45, 55, 58, 59, 60, 61, 62, 63, 64, 66, 70])
def test_a_kill_leaves_the_old_or_the_new(out: Path, point: int, exchange: str) -> None:
    """SIGKILL before any step: the folder is the one or the other, and the next run cleans up.

    Where two renames stand for the exchange, there is one moment without a folder; the next run puts it back.
    """
    (out / "own").write_text("mine")
    ended = killed_at(point, out, exchange)
    found = tree(out)

    assert ended in (0, -signal.SIGKILL)
    assert found in (content(OLD) | {"own": b"mine"}, content(NEW) | {"own": b"mine"}) or (
        exchange == "plain" and not found
    )
    write(out, NEW)
    assert content(NEW) | {"own": b"mine"} == tree(out)
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.slow
def test_a_real_render_killed_at_random(tmp_path: Path) -> None:
    """`amigen render` of two specs in turn, killed after random times, is never a mix."""
    out, specs = tmp_path / "out", []
    for version in ("1.33", "1.34"):
        specs.append(tmp_path / f"{version}.yaml")
        specs[-1].write_text((ROOT / "examples" / "minimal.yaml").read_text().replace("1.34", version))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "amigen", "render", "-o", str(out)]
    states = []
    for spec in specs:
        subprocess.run([*command, str(spec)], env=env, capture_output=True, timeout=120, check=True)
        states.append(tree(out))
        shutil.rmtree(out)
    dice = random.Random(7)
    for number in range(40):
        process = subprocess.Popen(
            [*command, str(specs[number % 2])], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0.1, 1.2))
        process.kill()
        process.wait(timeout=300)
        assert tree(out) in [*states, {}]
    subprocess.run([*command, str(specs[0])], env=env, capture_output=True, timeout=120, check=True)
    assert states[0] == tree(out)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_two_writers_take_turns(out: Path) -> None:
    """Two runs at once: the folder is one of the two states."""
    code = "import sys; from pathlib import Path; from tests.render import test_folder as t; t.write(Path(sys.argv[1]), getattr(t, sys.argv[2]))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(out), state], env=env) for state in ("NEW", "OLD", "NEW")
    ]

    assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0]
    assert tree(out) in (content(OLD), content(NEW))
    assert os.listdir(out.parent) == ["out"]


def test_what_holds_a_private_file_is_private(tmp_path: Path) -> None:
    """Script and user data hold the content of a file with mode 0600; the rest is for everybody, as before."""
    wanted = artifacts(made.spec({"files": [{"path": "/etc/x", "content": "x", "mode": "0600"}]}))
    write(tmp_path / "out", wanted)

    modes = {a.path: (tmp_path / "out" / a.path).stat().st_mode & 0o777 for a in wanted}

    private = {path for path, mode in modes.items() if not mode & 0o077}
    assert {path.rpartition("/")[2].partition(".")[0] for path in private} == {"bootstrap", "user-data"}
    assert modes["al2023/scripts/bootstrap.sh"] == 0o700
