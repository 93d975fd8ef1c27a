"""The command line as a user has it, with streams, environment and folder of its own."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from amigen.cli import main
from tests.specs import ROOT

COMMAND = [sys.executable, "-m", "amigen"]
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": str(ROOT),
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
}


def run(
    *arguments: str,
    cwd: Path = ROOT,
    stdin: bytes = b"",
    code: int | None = None,
    fresh: bool = False,
    **environment: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run amigen; whatever it is given, it may not end in a traceback.

    Args:
        code: What it must end with; None: anything.
        fresh: In a new Python, where what this process has loaded would matter; else by `forked`.
        environment: More than `ENVIRONMENT`.
    """
    env = {**ENVIRONMENT, **environment}
    if fresh:
        command = [*COMMAND, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False, cwd=cwd, env=env)
    else:
        done = forked(arguments, env, cwd, stdin)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert "Traceback" not in said, said
    assert code is None or done.returncode == code, said
    return done


def forked(
    arguments: tuple[str, ...], environment: Mapping[str, str], cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """`main` in a fork of this process, which has the modules loaded: a new Python would take ten times as long.

    `COMMAND` is the real one; the tests of start, streams and signals use it.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        child = os.fork()
        if child == 0:
            for number, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), number)
            _child(arguments, environment, cwd)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(["amigen", *arguments], status, out.read(), err.read())


def _child(arguments: tuple[str, ...], environment: Mapping[str, str], cwd: Path) -> NoReturn:
    code = 1
    try:
        gc.freeze()
        for number, action in ((signal.SIGALRM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            signal.signal(number, action)
        signal.alarm(300)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, mode, closefd=False), encoding="utf-8", write_through=True)
            for number, mode in enumerate("rww")
        )
        sys.argv = ["amigen", *arguments]
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = code or 120
        os._exit(code)
