"""ssh as it is called for a target, and connections that are on their way before anybody knows what to ask."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator, Sequence

from amigen.verify.target import Target

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


def ssh_words(target: Target, options: Sequence[str] = (), identity: str | None = None) -> list[str]:
    """What ssh is told for a target, before its host.

    Args:
        target: Of the kind ssh.
        options: More of ssh's options, `Name=value`; of two of one name ssh takes the first (ssh_config(5)).
        identity: A key file.
    """
    words = [word for option in (*options, *_OPTIONS) for word in ("-o", option)]
    words += ["-o", f"User={target.user}"] if target.user else []
    words += ["-o", f"Port={target.port}"] if target.port else []
    return [*words, *(["-i", identity] if identity else [])]


def as_root(command: str) -> str:
    """A command as root: by sudo where the user is not root already; sudo never asks for a password."""
    quoted = shlex.quote(command)
    return f'if [ "$(id -u)" = 0 ]; then set --; else set -- sudo -n --; fi; "$@" /bin/sh -c {quoted}'


@contextlib.contextmanager
def connecting(
    targets: Sequence[Target], options: Sequence[str] = (), identity: str | None = None
) -> Iterator[dict[Target, subprocess.Popen[bytes]]]:
    """Ssh clients of the first targets that ssh reaches; each runs, as root, the script that its stdin is given.

    Who uses one takes it out. What is left in the end, because nobody asked or something failed, ends with it.
    """
    started: dict[Target, subprocess.Popen[bytes]] = {}
    root = f"/bin/sh -c {shlex.quote(_READS_ITS_SCRIPT)}"
    pipe = subprocess.PIPE
    try:
        for target in dict.fromkeys(target for target in targets[:_AHEAD] if target.kind == "ssh"):
            remote = root if target.user == "root" else as_root(_READS_ITS_SCRIPT)
            command = ["ssh", *ssh_words(target, options, identity), target.name, remote]
            # Where ssh cannot be started, who asks is told so.
            with contextlib.suppress(OSError):
                started[target] = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        yield started
    finally:
        for process in started.values():
            with process:
                process.kill()
