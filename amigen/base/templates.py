"""The Jinja environments over the top-level folders `templates/` and `packer/`."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from amigen.base import quoting

Folder = Literal["templates", "packer"]


@cache
def folder(name: Folder) -> Path:
    """Where the templates are: in the wheel beside this package, in a checkout at its top."""
    package = Path(__file__).parent.parent
    shipped = package / f"_{name}"
    return shipped if shipped.is_dir() else package.parent / name


@cache
def environment(name: Folder) -> Environment:
    """An environment that refuses undefined names; its filters are those of `amigen.base.quoting`."""
    env = Environment(
        loader=FileSystemLoader(folder(name)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML here; each language has its own quoting filter
        # Checking for changed files at every use is for web servers.
        auto_reload=False,
        bytecode_cache=_bytecode_cache(),
    )
    for filter_ in (quoting.sh, quoting.words, quoting.hcl, quoting.hcl_inner, quoting.js, quoting.comment):
        env.filters[filter_.__name__] = filter_
    # No template needs Jinja's own globals, and each rendering would copy them.
    env.globals.clear()
    env.filters.update(py=quoting.py, py_block=quoting.py_block)
    return env


def _bytecode_cache() -> FileSystemBytecodeCache | None:
    """Compiled templates in the user's cache: half of a render's time is Jinja's compiler. Keyed by their source."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        place = Path(home) / "amigen" / "templates"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Compiled code is run: a folder that somebody else could write is not used.
        status = place.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            return None
    except (OSError, RuntimeError):
        return None  # RuntimeError: a user without a home
    return _Cache(str(place))


class _Cache(FileSystemBytecodeCache):
    """A cache that is full or read-only is none, and no reason to fail."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def render(name: Folder, template: str, /, **context: object) -> str:
    """Render one template."""
    return environment(name).get_template(template).render(**context)
