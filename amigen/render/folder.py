"""Write a rendered folder: all of it or nothing; other files stay as they are.

The new folder is made beside the old one and then exchanged with it in one system call, so that a cut at any moment
leaves the old state or the new one. Files that amigen did not write are carried over.
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from amigen.base.errors import ConflictError, RefusedError
from amigen.base.files import MAX_BYTES, MissingFileError, errors_name, read_at_most, read_file
from amigen.base.locks import exclusive_lock
from amigen.base.version import __version__
from amigen.render.artifacts import Artifact
from amigen.userdata.packed import settled

MANIFEST = ".amigen.json"
_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100


class Change(Struct, frozen=True, kw_only=True):
    """What would happen to one file; `old` or `new` is None where there is none."""

    path: str
    old: bytes | None
    new: bytes | None
    executable: bool = False

    @property
    def word(self) -> str:
        """What happens, in a word."""
        return "remove" if self.new is None else ("add" if self.old is None else "change")


class Comparison(Struct, frozen=True, kw_only=True):
    """A folder against what it should be.

    Attributes:
        changes: Files that differ, sorted by path.
        edited: Paths among them that somebody else wrote or edited.
    """

    changes: tuple[Change, ...]
    edited: tuple[str, ...]


def compare(folder: Path, wanted: tuple[Artifact, ...]) -> Comparison:
    """What writing would change.

    Raises:
        ConflictError: The manifest of an earlier render cannot be read.
    """
    known = _manifest(folder)
    changes, edited = [], []
    names = {artifact.path for artifact in wanted}
    for artifact in wanted:
        old, same_mode = _read(folder, artifact.path, executable=artifact.executable)
        if same_mode and (old == artifact.content or (old and _is_packed_otherwise(artifact, old))):
            continue
        changes.append(Change(path=artifact.path, old=old, new=artifact.content, executable=artifact.executable))
        if old is not None and old != artifact.content and known.get(artifact.path) != _sha256(old):
            edited.append(artifact.path)
    for path, digest in known.items():
        if path in names:
            continue
        old, _ = _read(folder, path, executable=False)
        if old is not None:
            changes.append(Change(path=path, old=old, new=None))
            if _sha256(old) != digest:
                edited.append(path)
    return Comparison(changes=tuple(sorted(changes, key=lambda c: c.path)), edited=tuple(sorted(edited)))


def _is_packed_otherwise(artifact: Artifact, old: bytes) -> bool:
    """Whether the file holds the same user data, packed by another zlib: a colleague's, or that of CI."""
    if "/user-data." not in artifact.path:
        return False
    return settled(old) == settled(artifact.content)


def write(folder: Path, wanted: tuple[Artifact, ...], *, force: bool = False) -> Comparison:
    """Make the folder what it should be.

    Args:
        folder: Need not exist; folders above it are made.
        force: Overwrite files that were edited by hand.

    Raises:
        ConflictError: Files were edited by hand, or are somebody else's, and `force` is not set.
        RefusedError: The folder cannot be exchanged (it is a link, or the current folder).
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise RefusedError(f"{folder} is not a folder (or is a link to one)", "name a folder of its own: -o FOLDER")
    if folder.name in ("", "..") or (folder.exists() and folder.resolve() in (Path.cwd(), *Path.cwd().parents)):
        raise RefusedError(
            f"{folder} is the current folder, holds it, or has no name", "render into a folder below it: -o FOLDER"
        )
    folder = folder.parent.resolve() / folder.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder.parent):
        _sweep(folder)
        found = compare(folder, wanted)
        if found.edited and not force:
            listed = "".join(f"\n    {path}" for path in found.edited)
            hint = "put the change into the spec; see it with --diff, overwrite it with --force"
            raise ConflictError(f"these files in {folder} were edited by hand or are not amigen's:{listed}", hint)
        if found.changes or not (folder / MANIFEST).exists():
            _replace(folder, wanted)
    return found


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.amigen-{what}"


def _replace(folder: Path, wanted: tuple[Artifact, ...]) -> None:
    new = _beside(folder, "new")
    with errors_name(folder), ExitStack() as stack:
        stack.callback(shutil.rmtree, new, ignore_errors=True)
        new.mkdir()
        for artifact in wanted:
            mode = 0o755 if artifact.executable else 0o644
            _put(new / artifact.path, artifact.content, mode & 0o700 if artifact.private else mode)
        listed = {artifact.path: _sha256(artifact.content) for artifact in wanted}
        manifest = {"amigen": __version__, "files": listed}
        _put(new / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode(), 0o644)
        if folder.exists():
            ours = {*listed, MANIFEST}
            folders = {above for path in ours for above in _above(path)}
            _carry_over(folder, new, skip={*ours, *_manifest(folder)}, folders=folders)
            _exchange(new, folder)
        else:
            new.rename(folder)


def _put(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        os.fchmod(descriptor, mode)
        stream.flush()
        os.fsync(descriptor)


def _carry_over(old: Path, new: Path, *, skip: set[str], folders: set[str]) -> None:
    """Bring along what is not amigen's: as hard links, and as copies where links cannot be.

    Args:
        skip: Paths that amigen writes or wrote; nothing of them, or below them, is brought along.
        folders: Paths that are folders now; a file in such a place is not brought along.
    """

    def left_out(folder: str, names: list[str]) -> list[str]:
        paths = {name: (Path(folder) / name).relative_to(old).as_posix() for name in names}
        return [
            name for name, path in paths.items() if path in skip or (path in folders and not _is_folder(old / path))
        ]

    try:
        shutil.copytree(old, new, symlinks=True, ignore=left_out, copy_function=_link, dirs_exist_ok=True)
    except shutil.Error as error:
        source, _, why = error.args[0][0]
        raise OSError(f"{source}: {why}") from None
    for path in sorted(new.rglob("*"), reverse=True):
        # It held nothing but what amigen wrote.
        if _is_folder(path) and not any(path.iterdir()) and any((old / path.relative_to(new)).iterdir()):
            path.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step (renameat2(2)); where the file system cannot, in two, the old one first."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2", None)
    if call is not None and call(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if call is not None and code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), str(old))
    aside = _beside(old, "old")
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed run left beside the folder; put the old one back if the cut was between two renames."""
    aside = _beside(folder, "old")
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)
    for left in (aside, _beside(folder, "new")):
        shutil.rmtree(left, ignore_errors=True)


def _manifest(folder: Path) -> dict[str, str]:
    """Paths that an earlier render wrote, with the digests of what it wrote; none of them leads out of the folder."""
    try:
        content = read_file(folder / MANIFEST)
    except MissingFileError:
        return {}
    try:
        files = json.loads(content)["files"]
        return {str(path): str(digest) for path, digest in files.items() if _is_inside(path)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        hint = "restore it from version control, or remove it and use --force"
        raise ConflictError(f"{folder / MANIFEST} is not a manifest of amigen", hint) from None


def _is_inside(path: str) -> bool:
    return path.isprintable() and not {"", ".", ".."} & set(path.split("/"))


def _read(folder: Path, path: str, *, executable: bool) -> tuple[bytes | None, bool]:
    """Content of a file below the folder, and whether its mode is right.

    What is no plain file (a link, also above it; a folder; a pipe) has no content: somebody else put it there.
    """
    for above in (*_above(path), path):
        try:
            mode = (folder / above).lstat().st_mode
        except FileNotFoundError:
            return None, False
        if above != path and not stat.S_ISDIR(mode):
            return b"", False
    if not stat.S_ISREG(mode):
        return b"", False
    return read_at_most(folder / path, MAX_BYTES), bool(mode & 0o100) == executable


def _above(path: str) -> Iterator[str]:
    """The folders that a path goes through: `a/b/c` -> `a`, `a/b`."""
    parts = path.split("/")[:-1]
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def change_diff(change: Change) -> Iterator[str]:
    """A unified diff; what is not text is named with its sizes."""
    try:
        old, new = ((content or b"").decode() for content in (change.old, change.new))
    except UnicodeDecodeError:
        yield f"binary file {change.path}: {len(change.old or b'')} -> {len(change.new or b'')} bytes\n"
        return
    before = "/dev/null" if change.old is None else f"a/{change.path}"
    after = "/dev/null" if change.new is None else f"b/{change.path}"
    if old == new:
        yield f"{change.path}: mode is not {'executable' if change.executable else 'plain'}, or the file is empty\n"
    for line in difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
