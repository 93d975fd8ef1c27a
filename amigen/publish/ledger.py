"""The ledger: how far each image is on its way to a launch template, by region, kept beside the build record.

AWS itself is asked before anything is done, so that a lost ledger costs nothing but history. What only the ledger knows
are intents that AWS cannot show: the client token of a canary that may or may not have been launched.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from amigen.base.errors import ConflictError, InputError
from amigen.base.files import MissingFileError, read_file, write_atomically
from amigen.base.locks import exclusive_lock
from amigen.base.moments import rfc3339

SCHEMA = "amigen/ledger/v1"


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """One image in one region.

    Attributes:
        digest: Digest of the spec.
        built: The AMI of the build, in the build's region.
        image: The AMI in this region; the same as `built` there, else its copy.
        steps: Step (verified, copied, shared, ...) -> when it was done or found done, RFC 3339.
        template, version, default: Launch template id, its version of this image, and what `$Default` was set to.
        warning: What EC2 could not validate of the version, after its number and a colon; empty: nothing.
        canary_token: Client token of a canary launch that is under way.
    """

    digest: str = ""
    built: str = ""
    image: str = ""
    steps: dict[str, str] = {}
    parameter: str = ""
    template: str = ""
    version: int = 0
    default: int = 0
    warning: str = ""
    canary_token: str = ""


class _Document(msgspec.Struct, kw_only=True, rename="camel"):
    schema: str = SCHEMA
    name: str
    entries: dict[str, Entry] = {}


class Ledger:
    """A ledger that is open for one publisher. Safe to share between threads.

    Args:
        path: Its file; None keeps it in memory alone.
        document: What the file holds.
    """

    def __init__(self, path: Path | None = None, document: _Document | None = None) -> None:
        self.path = path
        self._document = document or _Document(name="")
        self._lock = threading.Lock()

    def entry(self, key: str) -> Entry:
        """The entry of `Place.key`; an empty one where there is none."""
        with self._lock:
            return msgspec.structs.replace(self._document.entries.get(key, Entry()))

    def warning(self, key: str, version: int) -> str:
        """What EC2 could not validate of a version; empty: nothing is known."""
        number, _, text = self.entry(key).warning.partition(":")
        return text if number == str(version) else ""

    def note(self, key: str, *steps: str, **fields: Any) -> None:
        """Write down what is done, at once and durably."""
        with self._lock:
            old = self._document.entries.get(key, Entry())
            done = old.steps | dict.fromkeys((step for step in steps if step not in old.steps), _now())
            if "default" in steps:
                done.pop("rolled-back", None)
            self._keep(key, msgspec.structs.replace(old, steps=done, **fields))

    def _keep(self, key: str, entry: Entry) -> None:
        if entry == self._document.entries.get(key, Entry()):
            return
        self._document.entries[key] = entry
        if self.path:
            write_atomically(self.path, msgspec.json.format(msgspec.json.encode(self._document)) + b"\n")

    def went_back(self, key: str, *, default: int) -> None:
        """`$Default` went back to an older version, and the parameter with it: image and version are those of the
        publish still, and the default is not theirs any more. Nothing is said of a default that no publish has moved.
        """
        with self._lock:
            old = self._document.entries.get(key)
            if old is None or old.default in (0, default):
                return
            steps = {step: at for step, at in old.steps.items() if step not in ("default", "parameter")}
            steps["rolled-back"] = _now()
            self._keep(key, msgspec.structs.replace(old, default=default, steps=steps))

    def restart(self, key: str, *, digest: str, built: str) -> None:
        """Begin an entry anew when it speaks of another image."""
        with self._lock:
            old = self._document.entries.get(key)
            if old is not None and (old.digest, old.built) == (digest, built):
                return
            self._document.entries[key] = Entry(digest=digest, built=built)


def ledger_beside(record: Path) -> Path:
    """Where the ledger of a build record is."""
    return record.with_name("publish-ledger.json")


def _now() -> str:
    return rfc3339(datetime.now(UTC))


@contextlib.contextmanager
def open_ledger(path: Path, name: str) -> Iterator[Ledger]:
    """The ledger of a spec, locked against a second publisher on this machine.

    Raises:
        ConflictError: Another publisher works with it, or it belongs to another spec.
        InputError: It cannot be read or written.
    """
    lock = path.with_name(path.name + ".lock")
    with contextlib.ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive_lock(lock, wait=False))
        except BlockingIOError:
            raise ConflictError(f"another publish is using {path}", "wait until it has ended") from None
        except OSError as error:
            raise _unusable(lock, error) from None
        document = read_ledger(path) or _Document(name=name)
        if document.name != name:
            raise ConflictError(f"{path} is the ledger of {document.name}, not of {name}", "use another folder")
        yield Ledger(path, document)


@contextlib.contextmanager
def ledger_if_there(path: Path, name: str, say: Callable[[str], None]) -> Iterator[Ledger]:
    """The ledger of a spec, or one that keeps nothing if it cannot be read: rollback must not fail on bookkeeping."""
    with contextlib.ExitStack() as stack:
        notes = Ledger()
        if path.exists():
            try:
                notes = stack.enter_context(open_ledger(path, name))
            except (ConflictError, InputError) as error:
                say(f"{path} is not written: {error.message}")
        yield notes


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot use {path}: {error.strerror}", "the ledger is next to the build record; --record names another"
    )


def read_ledger(path: Path) -> _Document | None:
    """The document of a file; None where there is none.

    Raises:
        InputError: It is not a ledger that this amigen knows.
    """
    try:
        content = read_file(path, hint="move it away; AWS is asked for what is there")
    except MissingFileError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a ledger: {error}", "move it away; AWS is asked for what is there") from None
    if document.schema != SCHEMA:
        raise InputError(f"{path} has the schema {document.schema}; this amigen knows {SCHEMA}", "update amigen")
    return document


def shared_images(path: Path) -> frozenset[str]:
    """The images that a ledger says were shared; none where there is no ledger.

    Raises:
        InputError: It is not a ledger that this amigen knows.
    """
    document = read_ledger(path)
    entries = document.entries.values() if document else ()
    return frozenset(entry.image for entry in entries if "shared" in entry.steps and entry.image)


def ledger_schema() -> dict[str, Any]:
    """The JSON Schema of a ledger."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(_Document),
        "title": "amigen ledger of publishing",
    }
