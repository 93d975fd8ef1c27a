"""OpenSSH: `ssh://[USER@]HOST[:PORT]`, with the user's configuration and agent, and connections begun ahead of time."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, parse_qsl, unquote

from amigen.base.errors import InputError, ToolError
from amigen.base.processes import finish
from amigen.connections.model import Connection, ConnectOptions, Target, UnreachableError
from amigen.vm.ssh import SshTarget

CONNECT_SECONDS = 15
_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_SECONDS}",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=6",
    "LogLevel=ERROR",
)
# To connect takes as long as to load what the questions are made of. More of them at once would only wait for each
# other, and for us.
_AHEAD = 8
_READS_ITS_SCRIPT = 'eval "$(cat)"'
# What ssh ends with where it is ssh that failed (ssh(1), EXIT STATUS).
_SSH_FAILED = 255
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]")


class Ssh(Connection):
    """Each script has a connection of its own; a user that is not root becomes root by sudo."""

    form = "ssh://[USER@]HOST[:PORT]"
    program = ("ssh", "openssh-client")
    _begun: subprocess.Popen[bytes] | None = None

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        user, _, host = url.netloc.rpartition("@")
        name = re.sub(r":[0-9]*$", "", host)
        wrong = not _HOST.fullmatch(name) or ":" in user or user.startswith("-") or url.path not in ("", "/")
        if wrong or parse_qsl(url.query):
            shown = text if ":" not in user else f"ssh://...@{host}"
            raise InputError(f"{shown}: not an ssh target", "write ssh://USER@HOST:PORT; passwords are not supported")
        return Target(text=text, kind="ssh", name=name.strip("[]"), user=unquote(user), port=url.port or 0)

    def command(self, script: str) -> Sequence[str]:
        target = self.target
        words = [word for option in _OPTIONS for word in ("-o", option)]
        words += ["-o", f"User={target.user}"] if target.user else []
        words += ["-o", f"Port={target.port}"] if target.port else []
        remote = script if target.user == "root" else as_root(script)
        # Of two options of one name ssh takes the first (ssh_config(5)).
        return self.executable, *self.options.ssh, *words, "--", target.name, remote

    def begin(self) -> subprocess.Popen[bytes]:
        """Connect already; the first script goes over this connection."""
        pipe = subprocess.PIPE
        root = f"/bin/sh -c {shlex.quote(_READS_ITS_SCRIPT)}" if self.target.user == "root" else _READS_ITS_SCRIPT
        self._begun = subprocess.Popen(self.command(root), stdin=pipe, stdout=pipe, stderr=pipe)
        return self._begun

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        begun, self._begun = self._begun, None
        if begun is None:
            done = super().run(script)
        else:
            text = script.encode("utf-8", "surrogateescape")
            seconds, limit = self.options.seconds, self.options.limit
            done = self.bounded(lambda: finish(begun, stdin=text, timeout=seconds, limit=limit))
        if done.returncode == _SSH_FAILED:
            raise UnreachableError(done.stderr.decode("utf-8", "replace").strip() or "ssh ended with 255")
        return done


CONNECTION = Ssh


def ssh_words(options: Sequence[str] = (), identity: str | None = None) -> tuple[str, ...]:
    """Options of ssh, `Name=value`, and a key file, as its arguments. One that begins with `-` is taken as it is."""
    words = (word for option in options for word in ((option,) if option.startswith("-") else ("-o", option)))
    return (*words, *(("-i", identity) if identity else ()))


def as_root(script: str) -> str:
    """A script as root: by sudo where the user is not root already; sudo never asks for a password."""
    quoted = shlex.quote(script)
    return f'if [ "$(id -u)" = 0 ]; then set --; else set -- sudo -n --; fi; "$@" /bin/sh -c {quoted}'


def to_machine(machine: SshTarget) -> Ssh:
    """A connection to a machine of `amigen.vm`, over the one that it keeps open."""
    name = f"ssh://{machine.host}:{machine.port}"
    target = Target(text=name, kind="ssh", name=machine.host, user=machine.user, port=machine.port)
    return Ssh(target, ConnectOptions(ssh=tuple(machine.arguments)))


@contextlib.contextmanager
def connecting(targets: Sequence[Target], options: ConnectOptions) -> Iterator[dict[Target, Ssh]]:
    """Connections to the first targets that ssh reaches, begun already.

    Who uses one takes it out. What is left in the end, because nobody asked or something failed, ends with it.
    """
    made: dict[Target, Ssh] = {}
    started = []
    try:
        for target in dict.fromkeys(target for target in targets[:_AHEAD] if target.kind == "ssh"):
            # Where ssh cannot be started, who asks is told so.
            with contextlib.suppress(OSError, ToolError):
                connection = Ssh(target, options)
                started.append(connection.begin())
                made[target] = connection
        yield made
    finally:
        for process in started:
            # Its pipes stay open: a thread that still reads them would wait for ever.
            process.kill()
            process.wait()
