"""Programs of the machine: found, run with a bound, and their failures explained."""

from __future__ import annotations

import os
import select
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.interrupt import descendants, tell

# Limit for the output of one program or node; usual outputs have kilobytes.
MAX_OUTPUT = 16 << 20
_PART = 1 << 16

# Often missing in PATH of users; mke2fs is there.
SYSTEM_PATH = "/usr/sbin:/sbin"


def find_program(*names: str, package: str, purpose: str) -> str:
    """The path of the first of these programs that is installed.

    Raises:
        ToolError: None is installed; names the package.
    """
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
        if found:
            return found
    raise ToolError(f"{' or '.join(names)} is not installed: needed to {purpose}", f"install the package {package}")


def last_line(text: str | bytes) -> str:
    """The last line that is not blank."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def tied(command: Sequence[str], signal: str = "KILL") -> list[str]:
    """The command, which gets this signal from the kernel when the thread that started it ends.

    Without setpriv (util-linux), the command as it is. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    return [setpriv, "--pdeathsig", signal, "--", *command] if setpriv else list(command)


class EndlessOutputError(ToolError):
    """A program printed more than the limit."""


def run_capped(
    command: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    limit: int = MAX_OUTPUT,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run` with its output kept: with an end, and with a bound on what is kept.

    Args:
        timeout: Seconds after which it is killed.
        stdin: What it reads; None: nothing.
        limit: Bytes of stdout, and of stderr, that it may print.
        cwd, env: As of `subprocess.run`.

    Raises:
        EndlessOutputError: It printed more, and was killed.
        subprocess.TimeoutExpired: It took longer, and was killed.
        OSError: It cannot be run.
    """
    given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    pipe = subprocess.PIPE
    deadline = time.monotonic() + timeout
    with subprocess.Popen(command, stdin=given, stdout=pipe, stderr=pipe, cwd=cwd, env=env) as process:
        try:
            stdout, stderr = _exchange(process, stdin or b"", deadline, limit)
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except BaseException as error:
            # Including its children: a program of a shell would survive the shell.
            tell([*descendants(process.pid), process.pid], signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise subprocess.TimeoutExpired(process.args, timeout) from None
            raise
    return subprocess.CompletedProcess(process.args, code, stdout, stderr)


def _exchange(process: subprocess.Popen[bytes], text: bytes, deadline: float, limit: int) -> tuple[bytes, bytes]:
    """Write the input and read the output of a process until it closes both, or the deadline."""
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    rest = memoryview(text)
    with selectors.DefaultSelector() as selector:
        for name in kept:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        if process.stdin is not None:
            selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in selector.select(left):
                if key.data == "stdin":
                    rest = _give(key.fd, rest)
                    done = not rest
                else:
                    part = os.read(key.fd, _PART)
                    kept[key.data] += part
                    done = not part
                    if len(kept[key.data]) > limit:
                        raise EndlessOutputError(f"it printed more than {limit} bytes")
                if done:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return bytes(kept["stdout"]), bytes(kept["stderr"])


def _give(pipe: int, rest: memoryview) -> memoryview:
    """Write without blocking and return the rest; empty if the reader closed the pipe."""
    try:
        return rest[os.write(pipe, rest[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return rest[:0]


def run_tool(
    command: Sequence[str], *, doing: str, timeout: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a program to its end and return its stdout; killed after `timeout` seconds.

    `doing` is what it is run for, as in "cannot DOING".

    Raises:
        ToolError: It failed, took too long or cannot be run; names the program and its last lines.
    """
    try:
        done = run_capped(tied(command, "TERM"), timeout=timeout, cwd=cwd, env=env)
    except EndlessOutputError as error:
        raise ToolError(f"cannot {doing}: {Path(command[0]).name} does not end: {error.message}") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"cannot {doing}: {command[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise ToolError(f"cannot {doing}: {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")
        tail = " | ".join(line.strip() for line in said.splitlines() if line.strip())[-600:]
        raise ToolError(f"cannot {doing}: {Path(command[0]).name} ended with {done.returncode}: {tail}")
    return done.stdout.decode(errors="replace")
