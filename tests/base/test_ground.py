"""One lock, one wait, one atomic write, one place for paths."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amigen.base.errors import InputError
from amigen.base.files import require_writable, write_atomically
from amigen.base.interrupt import descendants
from amigen.base.locks import exclusive_lock
from amigen.base.paths import cache_home, state_home
from amigen.base.waiting import wait_until
from amigen.base.words import counted, shortened

HOLD = """
import pathlib, sys, time
from amigen.base.locks import exclusive_lock
with exclusive_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("name", [".", "a.lock"])
def test_a_lock_is_released_when_its_holder_dies(tmp_path: Path, name: str) -> None:
    """Of a folder and of a file; a second process waits, or is refused."""
    path = tmp_path / name
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), exclusive_lock(path, wait=False):
            pass
        with exclusive_lock(path, on_wait=lambda: holder.send_signal(signal.SIGKILL)):
            assert holder.wait(300) == -signal.SIGKILL


def test_a_process_that_has_ended_has_no_descendants() -> None:
    """It may end while it is asked; an interrupt must not end in that error."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert descendants(process.pid) == []


def test_a_lock_file_is_made_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "a", create=False):
        pass
    with exclusive_lock(tmp_path / "a"):
        assert (tmp_path / "a").exists()


def test_a_wait_ends_when_it_is_true_or_too_long() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), seconds=30, every=0.001)
    assert not next(answers, False)
    assert not wait_until(lambda: False, seconds=0.01, every=0.001)


def test_an_atomic_write_replaces_or_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-written stays, and the old content survives a failure."""
    path = tmp_path / "new" / "a"
    write_atomically(path, b"one")
    write_atomically(path, b"two", mode=0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"three")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_is_what_the_error_names(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        write_atomically(Path("/proc/folder/a"), b"")
    assert caught.value.filename == "/proc/folder"


def test_a_file_that_could_not_be_written_is_found_before(tmp_path: Path) -> None:
    """The folder is named, nothing is left behind, and what is no file is taken."""
    require_writable(tmp_path / "new" / "a", make_folder=True)
    require_writable(Path("/dev/stdout"))
    with pytest.raises(InputError, match="File name too long"):
        require_writable(tmp_path / ("a" * 300))
    with pytest.raises(InputError, match=r"there is no folder .*/new"):
        require_writable(tmp_path / "new" / "a")
    with pytest.raises(InputError, match=r"cannot write /proc/new/a: /proc: "):
        require_writable(Path("/proc/new/a"), make_folder=True)
    assert list(tmp_path.iterdir()) == []


def test_lists_and_counts_of_sentences() -> None:
    assert [counted(number, "module") for number in (0, 1, 2)] == ["0 modules", "1 module", "2 modules"]
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c", "d"], 2, " ") == "a b and 2 more"


def test_paths_follow_the_xdg_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert cache_home() == tmp_path / ".cache" / "amigen"
    assert state_home() == tmp_path / "state" / "amigen"
