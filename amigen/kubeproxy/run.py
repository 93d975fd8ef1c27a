"""Run a script on a node, and read what it found: the only way amigen looks at a node for kube-proxy."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from amigen.base.errors import CouldNotCheckError, InputError, ToolError
from amigen.base.processes import EndlessOutputError, run_capped

if TYPE_CHECKING:
    from amigen.testing.ssm import SsmBackend

_SECONDS = 60
# The tables of ten thousand services with their endpoints.
_ANSWER_BYTES = 64 << 20


class NodeRunner(Protocol):
    """Runs a POSIX shell script on one node, as root where that is possible."""

    @property
    def name(self) -> str:
        """What messages call the node."""
        ...

    def run(self, script: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr. Raises CouldNotCheckError where the node cannot be reached."""
        ...


_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then exec sh -s; else exec sudo -n sh -s; fi'


@dataclass(frozen=True, kw_only=True)
class LocalRunner:
    """The machine that amigen runs on."""

    name: str = "local"

    def run(self, script: str) -> tuple[int, str, str]:
        return _run(["sh", "-c", _AS_ROOT], script, self.name)


@dataclass(frozen=True, kw_only=True)
class SshRunner:
    """A node through the system's ssh, with its configuration, agent and jump hosts.

    Attributes:
        options: More arguments of ssh, such as `-i FILE`.
    """

    name: str
    host: str
    user: str = ""
    port: int | None = None
    options: tuple[str, ...] = ()

    def run(self, script: str) -> tuple[int, str, str]:
        if shutil.which("ssh") is None:
            raise ToolError("ssh is not installed", "install the OpenSSH client to look at nodes")
        argv = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *self.options]
        argv += ["-p", str(self.port)] if self.port else []
        argv += ["--", f"{self.user}@{self.host}" if self.user else self.host, _AS_ROOT]
        code, out, err = _run(argv, script, self.name)
        if code == 255:
            raise CouldNotCheckError(
                f"{self.name}: ssh cannot reach it: {_last_line(err)}", f"try `{' '.join(argv[:-1])} true`"
            )
        return code, out, err


@dataclass(frozen=True, kw_only=True)
class SsmRunner:
    """An EC2 instance through Session Manager's agent, which runs commands as root.

    Attributes:
        backend: The connection, as `amigen verify` has it.
    """

    name: str
    backend: SsmBackend

    def run(self, script: str) -> tuple[int, str, str]:
        from amigen.testing.ssm import SessionManagerError

        try:
            done = self.backend.run(script)
        except SessionManagerError as error:
            raise CouldNotCheckError(f"{self.name}: {error}") from None
        out, err = (text.decode("utf-8", "replace") for text in (done.stdout_bytes, done.stderr_bytes))
        return done.rc, out, err


def _run(argv: list[str], script: str, name: str) -> tuple[int, str, str]:
    try:
        done = run_capped(argv, stdin=script.encode(), timeout=_SECONDS, limit=_ANSWER_BYTES)
    except EndlessOutputError:
        raise CouldNotCheckError(f"{name}: its answer does not end", "what else does it print at a login?") from None
    except subprocess.TimeoutExpired:
        raise CouldNotCheckError(f"{name}: no answer within {_SECONDS} s") from None
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def runner(target: str, options: tuple[str, ...] = ()) -> NodeRunner:
    """`local`, `ssh://[USER@]HOST[:PORT]`, or `ssm://i-INSTANCE[?region=REGION&profile=PROFILE]`.

    Raises:
        InputError: Another form.
    """
    if target == "local":
        return LocalRunner()
    if target.startswith("ssm://"):
        return _ssm(target)
    wrong = InputError(
        f"target {target!r} is not understood", "use local, ssh://[USER@]HOST[:PORT] or ssm://i-INSTANCE"
    )
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        raise wrong from None
    # A host that begins with `-` would be an option of ssh.
    if parts.scheme != "ssh" or not re.fullmatch(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*", parts.hostname or "") or parts.path:
        raise wrong
    if parts.password or not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9._-]*)?", parts.username or ""):
        raise InputError(f"target {target.split('@')[-1]!r}: no password here", "use a key, an agent or ~/.ssh/config")
    assert parts.hostname is not None
    return SshRunner(name=target, host=parts.hostname, user=parts.username or "", port=port, options=options)


def _ssm(target: str) -> SsmRunner:
    """Imported here: testinfra loads only where it is used."""
    from amigen.testing.ssm import SsmBackend
    from amigen.verify.target import parse_target

    found = parse_target(target)
    backend = SsmBackend(found.name, region=found.region or None, profile=found.profile or None, timeout=_SECONDS)
    return SsmRunner(name=target, backend=backend)
