"""Build the real programs that judge the tests, out of Go modules, into the user's cache.

    python -m tests.real.build              # all
    python -m tests.real.build nodeadm      # some, by the name of their folder in tests/real/tools

Each folder in `tests/real/tools` is one Go module of ours. Its go.mod names the programs to build as `tool`
directives, pinned by go.sum; a `main.go` beside it is built, too, under the folder's name with `-judge` behind it. A
line `// build: FLAGS` in go.mod adds flags for `go install`. The programs go into
`${XDG_CACHE_HOME:-~/.cache}/amigen-tests/real/NAME-DIGEST/bin/`, where DIGEST is of go.mod, go.sum and all *.go files.
A folder appears there whole or not at all, and a second build of the same digest does nothing.

At most two packages are compiled at the same time, and the largest process (the EC2 client of eksctl and Karpenter)
took 4 GB of memory. All tools but kubelet-rules, which shares its packages with kubernetes-1.37, took 22 minutes from
empty caches on two cores (29 November 2026, with other work beside it), 1.1 GB of disk for the programs, and in Go's
own caches 10.7 GB for compiled packages and 5.4 GB for modules (`go clean -cache -modcache` frees them).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = Path(__file__).with_name("tools")
_JOBS = 2


class UnavailableError(Exception):
    """A program cannot be had on this machine: no Go, or no module."""


def names() -> tuple[str, ...]:
    """The tools that can be built."""
    return tuple(sorted(folder.parent.name for folder in TOOLS.glob("*/go.mod")))


def folder_of(name: str) -> Path:
    """Where the programs of a tool are, or will be."""
    digest = hashlib.sha256()
    for file in sorted((TOOLS / name).iterdir()):
        if file.name in ("go.mod", "go.sum") or file.suffix == ".go":
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "amigen-tests" / "real" / f"{name}-{digest.hexdigest()[:16]}"


def pinned(tool: str, module: str) -> str:
    """The version of a module that a tool is built of; empty where its go.mod does not name it."""
    match = re.search(rf"(?m)^\s*(?:require )?{re.escape(module)} (v\S+)", (TOOLS / tool / "go.mod").read_text())
    return match[1] if match else ""


def program(tool: str, name: str = "") -> Path:
    """A built program, or the current test is skipped as not proven.

    Args:
        tool: The folder in `tests/real/tools`.
        name: The program, where it is not called like the folder.
    """
    path = folder_of(tool) / "bin" / (name or tool)
    if not path.is_file():
        reason = "run `make real-tools`" if shutil.which("go") else "no Go toolchain"
        pytest.skip(f"not proven here: {path.name} is not built: {reason}")
    return path


def build(name: str, say: Callable[[str], None] = print) -> Path:
    """Build one tool if it is not there yet.

    Raises:
        UnavailableError: No Go, a Go that is too old, or a module that cannot be downloaded.
        subprocess.CalledProcessError: It does not compile; Go has said why on stderr.
    """
    target = folder_of(name)
    if (target / "bin").is_dir():
        say(f"{name}: is built ({target})")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f"{target.name}.lock")):
        if (target / "bin").is_dir():
            return target
        # What a build that was killed has left; nobody else builds this tool now.
        for left in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        started = time.monotonic()
        packages = _packages(name)
        _download(name, packages, say)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            _compile(name, packages, work / "bin", say)
            work.chmod(0o755)
            work.replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        size = sum(file.stat().st_size for file in (target / "bin").iterdir())
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        seconds = time.monotonic() - started
        say(f"{name}: built in {seconds:.0f} s, {size >> 20} MB, the largest process took {memory >> 10} MB ({target})")
    return target


def _packages(name: str) -> list[str]:
    if not shutil.which("go"):
        raise UnavailableError("no Go toolchain")
    found = subprocess.run(
        ["go", "mod", "edit", "-json"],
        cwd=TOOLS / name,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise UnavailableError(_last_line(found.stderr))
    tools = [tool["Path"] for tool in json.loads(found.stdout).get("Tool") or []]
    return [*tools, "."] if (TOOLS / name / "main.go").exists() else tools


def _download(name: str, packages: list[str], say: Callable[[str], None]) -> None:
    say(f"{name}: downloading what {' '.join(packages)} needs")
    found = subprocess.run(
        ["go", "list", "-deps", "-f", "{{.ImportPath}}", *packages],
        cwd=TOOLS / name,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise UnavailableError(_last_line(found.stderr))
    say(f"{name}: compiling {len(found.stdout.split())} packages, {_JOBS} at a time")


def _compile(name: str, packages: list[str], into: Path, say: Callable[[str], None]) -> None:
    into.mkdir()
    flags = re.search(r"(?m)^// build: (.*)$", (TOOLS / name / "go.mod").read_text())
    for package in packages:
        out = into / (f"{name}-judge" if package == "." else package.rsplit("/", 1)[-1])
        command = ["go", "build", "-p", str(_JOBS), "-trimpath", "-o", str(out)]
        subprocess.run(
            [*command, *shlex.split(flags[1] if flags else ""), package],
            cwd=TOOLS / name,
            env=_environment(),
            check=True,
        )
        say(f"{name}: {out.name}")


def _environment() -> dict[str, str]:
    """No cgo, nothing newer than the Go at hand, and nothing but what go.sum says."""
    return {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["go failed and said nothing"])[-1].strip()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One build of a tool at a time; the lock is released when its holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Build the tools named, or all; a tool that cannot be had is reported and is no failure."""
    unknown = set(arguments) - set(names())
    if unknown:
        print(f"unknown tool: {', '.join(sorted(unknown))}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    failed = 0
    for name in arguments or names():
        try:
            build(name, lambda line: print(line, flush=True))
        except UnavailableError as error:
            print(f"{name}: not built, its tests are not proven here: {error}", flush=True)
        except subprocess.CalledProcessError:
            print(f"{name}: does not compile", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
