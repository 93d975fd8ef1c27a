"""Files that somebody names: read with a bound, whatever they are, and without waiting for who never writes."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from amigen.base.errors import InputError

# What amigen reads of others (records, reports, configurations) has kilobytes, or a few megabytes.
MAX_BYTES = 16 << 20


class MissingFileError(InputError):
    """There is no such file; who can do without says so, for all others it is wrong input."""


def read_file(path: str | Path, *, limit: int = MAX_BYTES, hint: str = "") -> bytes:
    """All of a file.

    Raises:
        MissingFileError: There is none.
        InputError: It cannot be read, or has more than `limit` bytes, as a device has that never ends.
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

    A pipe without anybody who writes is empty, and not waited for; `<(command)` of a shell has somebody.

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
            raise OSError(0, "a pipe that nobody writes to")
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
