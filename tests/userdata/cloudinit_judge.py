"""Run by a python that has cloud-init: what its own code makes of user data, one JSON line for each line of base64.

- parts: what it hands to its handlers: UserDataProcessor.process, then the walk that hands out parts.
- scripts, early, config, error: what its handlers leave on the disk: the scripts of `scripts-user` in the order in
  which it runs them, those that it runs by frequency, the merged cloud-config, and why it gave up. Boothooks, which a
  handler would run here and now, are left out.
- schema: what its schema says of that cloud-config.
- modules: why its modules for commands and files fail with that cloud-config; no file is written.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import yaml
from cloudinit import handlers, helpers, user_data, util
from cloudinit.config import cc_write_files
from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.handlers.jinja_template import JinjaTemplatePartHandler
from cloudinit.handlers.shell_script import ShellScriptPartHandler
from cloudinit.handlers.shell_script_by_frequency import ShellScriptByFreqPartHandler
from cloudinit.settings import PER_ALWAYS, PER_INSTANCE, PER_ONCE


class Source:
    """As much of a data source as paths need."""

    def get_instance_id(self) -> str:
        return "i-1"


def texts(folder: Path) -> list[tuple[str, str]]:
    """In the order of cloudinit/subp.py, runparts: by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return [(path.name, path.read_bytes().decode("utf-8", "surrogateescape")) for path in files]


def handed_out(document: bytes, folder: str) -> list[dict[str, str]]:
    """The parts as handlers get them."""
    message = user_data.UserDataProcessor(helpers.Paths({"cloud_dir": folder, "run_dir": folder})).process(document)
    parts: list[dict[str, str]] = []

    def see(_data: None, filename: str, payload: str | bytes, headers: dict[str, str]) -> None:
        """Called by cloud-init for each part, as its handlers are."""
        content = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogateescape")
        if headers["Content-Type"] == "text/x-shellscript":
            # cloudinit/handlers/shell_script.py: what is written to the disk and run.
            file = Path(folder) / "script"
            util.write_file(str(file), util.dos2unix(content.decode("utf-8", "surrogateescape")), 0o700)
            content = file.read_bytes()
        parts.append(
            {"type": headers["Content-Type"], "filename": filename, "content": base64.b64encode(content).decode()}
        )

    handlers.walk(message, see, data=None)
    return parts


def left(document: bytes, folder: str) -> dict[str, Any]:
    """What the handlers leave."""
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder}, Source())
    by_frequency = [ShellScriptByFreqPartHandler(when, paths) for when in (PER_ALWAYS, PER_INSTANCE, PER_ONCE)]
    known = helpers.ContentHandlers()
    plain = [CloudConfigPartHandler(paths), ShellScriptPartHandler(paths), *by_frequency]
    every = (*plain, JinjaTemplatePartHandler(paths, sub_handlers=plain))
    Path(paths.get_runpath("instance_data_sensitive")).write_text(json.dumps({"v1": {"region": "eu-west-1"}}))
    for handler in every:
        known.register(handler)
    data = {"handlers": known, "data": None, "frequency": PER_INSTANCE, "excluded": [], "handlerdir": folder}
    said: dict[str, Any] = {"error": "", "early": [], "config": {}, "schema": ""}
    try:
        message = user_data.UserDataProcessor(paths).process(document)
        for handler in every:
            handlers.call_begin(handler, None, PER_INSTANCE)
        handlers.walk(message, handlers.walker_callback, data=data)
        for handler in every:
            handlers.call_end(handler, None, PER_INSTANCE)
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
    said["scripts"] = texts(Path(folder) / "instance" / "scripts")
    for frequency in ("per-once", "per-boot", "per-instance"):
        said["early"] += texts(Path(folder) / "scripts" / frequency)
    config = Path(folder) / "instances" / "i-1" / "cloud-config.txt"
    if config.is_file():
        said["config"] = yaml.safe_load(config.read_text()) or {}
    try:
        if said["config"]:
            validate_cloudconfig_schema(said["config"], schema=SCHEMA, strict=True)
    except SchemaValidationError as error:
        said["schema"] = str(error)
    said["modules"] = failing(said["config"])
    return said


def failing(config: dict[str, Any]) -> list[str]:
    """The keys for which a module raises an error."""
    failed = []
    for key in ("bootcmd", "runcmd", "write_files"):
        try:
            if key == "write_files":
                with mock.patch.object(util, "write_file"), mock.patch.object(util, "chownbyname"):
                    cc_write_files.write_files("write_files", config.get(key), "root:root")
            elif config.get(key):
                util.shellify(config[key])
        except Exception:
            failed.append(key)
    return failed


SCHEMA = get_schema()
for line in sys.stdin:
    given = base64.b64decode(line)
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        try:
            answer = {"parts": handed_out(given, first)}
        except Exception:
            answer = {"parts": []}
        print(json.dumps(answer | left(given, second), default=str), flush=True)
