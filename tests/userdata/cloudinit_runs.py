"""Run by the system's python, which has cloud-init: what its own handlers leave on the disk of user data on stdin.

Prints as JSON the error, if it gave up, the scripts of `scripts-user` in the order in which it runs them, those that it
runs by frequency, and the merged cloud-config. Boothooks, which a handler would run here and now, are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from cloudinit import handlers, helpers, user_data
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
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


with TemporaryDirectory() as folder:
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder}, Source())
    by_frequency = [ShellScriptByFreqPartHandler(when, paths) for when in (PER_ALWAYS, PER_INSTANCE, PER_ONCE)]
    known = helpers.ContentHandlers()
    every = (CloudConfigPartHandler(paths), ShellScriptPartHandler(paths), *by_frequency)
    for handler in every:
        known.register(handler)
    data = {"handlers": known, "data": None, "frequency": PER_INSTANCE, "excluded": [], "handlerdir": folder}
    said: dict[str, Any] = {"error": "", "scripts": [], "early": [], "config": {}}
    try:
        message = user_data.UserDataProcessor(paths).process(sys.stdin.buffer.read())
        for handler in every:
            handlers.call_begin(handler, None, PER_INSTANCE)
        handlers.walk(message, handlers.walker_callback, data=data)
        for handler in every:
            handlers.call_end(handler, None, PER_INSTANCE)
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
    instance = Path(folder) / "instances" / "i-1"
    said["scripts"] = texts(Path(folder) / "instance" / "scripts")
    for frequency in ("per-once", "per-boot", "per-instance"):
        said["early"] += texts(Path(folder) / "scripts" / frequency)
    config = instance / "cloud-config.txt"
    if config.is_file():
        said["config"] = yaml.safe_load(config.read_text()) or {}
    json.dump(said, sys.stdout)
