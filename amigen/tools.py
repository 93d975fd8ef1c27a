"""Programs of the machine: found, run with a bound, and their failures explained."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from amigen.errors import ToolError

# Not in everybody's PATH, and mke2fs lives there.
SYSTEM_PATH = "/usr/sbin:/sbin"


def find_program(*names: str, package: str, purpose: str) -> str:
    """The path of the first of these programs that is there.

    Raises:
        ToolError: None is; says which package brings it.
    """
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
        if found:
            return found
    raise ToolError(f"{' or '.join(names)} is not installed: needed to {purpose}", f"install the package {package}")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process of ours is at work in this folder, and keep others out; a killed one is out."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def last_line(text: str | bytes) -> str:
    """The last line that says something."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def tied(command: Sequence[str], signal: str = "KILL") -> list[str]:
    """The command, sent this signal by the kernel when the thread that started it is gone, however that went.

    Without setpriv (util-linux), the command as it is. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    return [setpriv, "--pdeathsig", signal, "--", *command] if setpriv else list(command)


def run_tool(
    command: Sequence[str],
    *,
    doing: str,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end and return its stdout; killed after `timeout` seconds.

    `doing` is what it is run for, as in "cannot DOING".

    Raises:
        ToolError: It failed, took too long or cannot be run; names the program and its last words.
    """
    try:
        done = subprocess.run(
            tied(command, "TERM"),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=env,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"cannot {doing}: {command[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise ToolError(f"cannot {doing}: {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        tail = " | ".join(line.strip() for line in done.stderr.splitlines() if line.strip())[-600:]
        raise ToolError(f"cannot {doing}: {Path(command[0]).name} ended with {done.returncode}: {tail}")
    return done.stdout
