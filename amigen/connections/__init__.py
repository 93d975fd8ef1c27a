"""Connections to targets: one grammar, one module for each kind, named as its scheme and loaded when it is used.

connection = connect(parse_target("ssh://ec2-user@10.0.0.7"))
connection.run("id -u").stdout
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from amigen.base.errors import InputError
from amigen.connections.model import INSTANCE, Connection, ConnectOptions, Kind, Target, root_folder

SCHEMES = tuple(kind for kind in get_args(Kind) if kind not in ("image", "vm"))
_LOGIN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*@([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


def parse_target(text: str) -> Target:
    """A target of the command line: a URL of a connection, a folder, an image file, or `local`.

    Raises:
        InputError: It is none, or names a file that is not there.
    """
    try:
        url = urlsplit("local://" if text == "local" else text)
        _ = url.port
    except ValueError as error:
        raise InputError(f"{text}: {error}", _forms()) from None
    if text == "local" or "://" in text:
        if url.scheme not in SCHEMES or (url.scheme == "local" and text != "local"):
            raise InputError(f"{text}: {url.scheme}:// is not supported", _forms())
        return connection_class(url.scheme).parse(text, url)
    if not text.strip():
        raise InputError("the target is empty", "is a variable of the shell not set?")
    path = Path(text)
    if path.is_dir():
        return Target(text=text, kind="chroot", name=root_folder(text, path))
    if path.is_file():
        return Target(text=text, kind="image", name=str(path.resolve()))
    meant = f"ssm://{text}" if INSTANCE.fullmatch(text) else f"ssh://{text}" if _LOGIN.fullmatch(text) else ""
    raise InputError(f"{text}: no such target", f"did you mean {meant}?" if meant else _forms())


def connect(target: Target, options: ConnectOptions | None = None) -> Connection:
    """A connection to a target that is there already.

    Raises:
        InputError: It is an image file, which has to be booted first.
        ToolError: The program that reaches such a target is not installed.
    """
    if target.kind not in SCHEMES:
        raise InputError(f"{target.text}: an image file has to be booted", "use amigen verify")
    return connection_class(target.kind)(target, options)


def connection_class(scheme: str) -> type[Connection]:
    """The class of a scheme."""
    found: type[Connection] = importlib.import_module(f"{__name__}.{scheme}").CONNECTION
    return found


def _forms() -> str:
    return f"a target is an image file, a folder, {', '.join(connection_class(each).form for each in SCHEMES)}"
