"""Locks between processes of one machine."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(
    path: Path, *, wait: bool = True, create: bool = True, on_wait: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the lock on a file or folder; the kernel releases it when its holder dies (flock(2)).

    Args:
        path: A folder, or a file that exists for the lock.
        on_wait: Called once before waiting.

    Raises:
        BlockingIOError: Another process holds the lock, and `wait` is False.
        OSError: The file cannot be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        try:
            _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            on_wait()
            _lock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        # Some network file systems have no locks. There, the user must not start two runs at once.
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
