"""Files: bounded reads of any file that a user names, and atomic writes."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amigen.base.errors import InputError

# Records, reports and configurations have kilobytes, or a few megabytes.
MAX_BYTES = 16 << 20


class MissingFileError(InputError):
    """The file does not exist; callers for which the file is optional catch this."""


def read_file(path: str | Path, *, limit: int = MAX_BYTES, hint: str = "") -> bytes:
    """All of a file.

    Raises:
        MissingFileError: It does not exist.
        InputError: It cannot be read, or has more than `limit` bytes (such as an endless device).
    """
    try:
        content = read_at_most(path, limit)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{path}: {error.strerror}", hint) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint) from None
    except ValueError:
        raise InputError(f"{str(path)!r} is not a file name") from None
    if len(content) > limit:
        raise InputError(f"{path} has more than {limit} bytes", hint or "is it the right file?")
    return content


def read_text(path: str | Path, *, limit: int = MAX_BYTES, hint: str = "") -> str:
    """All of a file of UTF-8; raises as `read_file`, also where it is something else."""
    try:
        return read_file(path, limit=limit, hint=hint).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text", hint) from None


def read_at_most(path: str | Path, limit: int) -> bytes:
    """The beginning of a file, or of stdin for `-`: up to `limit` bytes, and one more where there is more.

    A pipe without a writer is an error, without waiting for one; `<(command)` of a shell has a writer.

    Raises:
        OSError: It cannot be read.
        ValueError: The path holds a NUL.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read(limit + 1)
    with open(path, "rb", opener=_without_waiting) as stream:
        os.set_blocking(stream.fileno(), True)
        content = stream.read(limit + 1)
        if not content and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "a pipe without a writer")
        return content


def read_tail(path: Path, size: int) -> str:
    """The last bytes of a log, as text.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
        return stream.read(size).decode(errors="replace")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file durably; after a crash at any time, the old or the new file is there, whole.

    Args:
        path: The file; its folder is made if it does not exist.
        mode: Permission bits of the new file, before the umask.

    Raises:
        OSError: It cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with errors_name(path):
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def require_writable(path: Path, *, make_folder: bool = False) -> None:
    """Find out before the work, and not after it, that its result cannot be written. Leaves nothing behind.

    Args:
        path: A file; an existing one is replaced.
        make_folder: Its folder is made where it is missing.

    Raises:
        InputError: Its folder cannot be written, or made; names the folder.
    """
    folder = path.parent
    try:
        if path.exists() and not path.is_file():  # `/dev/stdout`
            return
        folder = Path(os.path.realpath(path)).parent
        if not (make_folder or folder.is_dir()):
            raise InputError(f"{path}: there is no folder {folder}", "make it first")
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {folder}: {error.strerror}", "name another place") from None


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Let the system's errors name this path: those of a write name none, others a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
