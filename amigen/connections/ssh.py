"""OpenSSH: `ssh://[USER@]HOST[:PORT]`, with the user's configuration and agent."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qsl, unquote

from amigen.base.errors import InputError
from amigen.connections.model import SHELL, Connection, Target, UnreachableError

CONNECT_SECONDS = 15
_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_SECONDS}",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=6",
    "LogLevel=ERROR",
)
# By sudo where the user is not root already; it never asks for a password.
AS_ROOT = f'if [ "$(id -u)" = 0 ]; then set --; else set -- sudo -n --; fi; "$@" {shlex.join(SHELL)}'
# What ssh ends with where it is ssh that failed (ssh(1), EXIT STATUS).
_SSH_FAILED = 255
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]")


class Ssh(Connection):
    """Each script has a connection of its own; a user that is not root becomes root by sudo."""

    form = "ssh://[USER@]HOST[:PORT]"
    program = ("ssh", "openssh-client")

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        user, _, host = url.netloc.rpartition("@")
        name = re.sub(r":[0-9]*$", "", host)
        wrong = not _HOST.fullmatch(name) or ":" in user or user.startswith("-") or url.path not in ("", "/")
        if wrong or parse_qsl(url.query):
            shown = text if ":" not in user else f"ssh://...@{host}"
            raise InputError(f"{shown}: not an ssh target", "write ssh://USER@HOST:PORT; passwords are not supported")
        return Target(text=text, kind="ssh", name=name.strip("[]"), user=unquote(user), port=url.port or 0)

    def command(self) -> Sequence[str]:
        target = self.target
        words = [word for option in _OPTIONS for word in ("-o", option)]
        words += ["-o", f"User={target.user}"] if target.user else []
        words += ["-o", f"Port={target.port}"] if target.port else []
        remote = shlex.join(SHELL) if target.user == "root" else AS_ROOT
        # Of two options of one name ssh takes the first (ssh_config(5)).
        return self.executable, *self.options.ssh, *words, "--", target.name, remote

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        done = super().run(script)
        if done.returncode == _SSH_FAILED:
            raise UnreachableError(done.stderr.decode("utf-8", "replace").strip() or "ssh ended with 255")
        return done


CONNECTION = Ssh


def ssh_words(options: Sequence[str] = (), identity: str | None = None) -> tuple[str, ...]:
    """Options of ssh, `Name=value`, and a key file, as its arguments. One that begins with `-` is taken as it is."""
    words = (word for option in options for word in ((option,) if option.startswith("-") else ("-o", option)))
    return (*words, *(("-i", identity) if identity else ()))
