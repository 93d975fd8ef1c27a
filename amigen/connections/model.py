"""What a connection is: it runs shell scripts on one target, as root, within bounds, and never asks a person."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import SplitResult, unquote

from amigen.base.errors import CouldNotCheckError, InputError
from amigen.base.processes import MAX_OUTPUT, EndlessOutputError, find_program, run_capped
from amigen.facts.surroundings import Surroundings

# `image` is a file that has to be booted, and `vm` a machine of amigen's; each other kind is a module of this package.
Kind = Literal["image", "ssh", "podman", "docker", "chroot", "nspawn", "local", "ssm", "vm"]
# An instance of EC2, or a machine that Systems Manager manages elsewhere.
INSTANCE = re.compile(r"(i|mi)-[0-9a-f]{8,17}")
# What a target says -> what to do.
_HINTS = {
    "Host key verification failed": "ssh does not know this host's key: connect once by hand, or give"
    " --ssh-option StrictHostKeyChecking=accept-new",
    "Permission denied": "is this the right user, and its key in the agent? give one with --identity FILE",
    "sudo": "the checks need root: let this user use sudo without a password, or connect as root",
    "Could not resolve": "is the name right?",
    "Connection refused": "does sshd run there, and is the port right?",
    "timed out": "is the machine up, and the way to it open?",
    "Bad configuration option": "see ssh_config(5) for the names that --ssh-option takes",
    "specify a region": "name it: ssm://INSTANCE?region=REGION, or AWS_REGION",
    "no such container": "podman ps and docker ps list the running ones",
}


class UnreachableError(CouldNotCheckError):
    """A target that does not answer, with what it or its client said."""

    def __init__(self, said: str) -> None:
        hint = next((hint for words, hint in _HINTS.items() if words.lower() in said.lower()), "")
        super().__init__(f"could not connect: {' '.join(said.split())}", hint or "can it be reached by hand?")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target.

    Attributes:
        text: As the user wrote it.
        name: Host, container, instance or path.
        user, port: Of ssh; empty and 0 where ssh's own configuration decides.
        region, profile: Of an instance over Session Manager; empty where the AWS configuration decides.
    """

    text: str
    kind: Kind
    name: str = ""
    user: str = ""
    port: int = 0
    region: str = ""
    profile: str = ""


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """How to connect.

    Attributes:
        ssh: Words for ssh, before our own.
        seconds: Until a script must have ended.
        limit: Bytes of stdout, and of stderr, that it may print.
    """

    ssh: tuple[str, ...] = ()
    seconds: float = 300.0
    limit: int = MAX_OUTPUT


# A shell that runs the script on its stdin: an argument could not be longer than 128 KiB (execve(2), MAX_ARG_STRLEN).
SHELL = ("/bin/sh", "-c", 'eval "$(cat)"')


class Connection:
    """Base of the connections; one that runs a program of this machine has a `command` and needs no `run`.

    Attributes:
        form: How a target of this kind is written.
        program: What reaches it, and the package that brings it; empty where it is part of amigen.
        surroundings: What the target is, where that need not be asked.
    """

    form: ClassVar[str]
    program: ClassVar[tuple[str, str] | None] = None
    surroundings: ClassVar[Surroundings | None] = None

    def __init__(self, target: Target, options: ConnectOptions | None = None) -> None:
        """Raises ToolError: the program is not installed."""
        self.target = target
        self.options = options or ConnectOptions()
        if self.program is not None:
            name, package = self.program
            self.executable = find_program(name, package=package, purpose=f"reach {target.text}")

    @classmethod
    def parse(cls, text: str, url: SplitResult) -> Target:
        """The target that a URL names.

        Raises:
            InputError: It names none.
        """
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """The program and its arguments that run `SHELL` on the target as root."""
        raise NotImplementedError

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run a script of POSIX sh to its end, whatever its exit code.

        Raises:
            CouldNotCheckError: The target cannot be reached, or there is no end of the script or of its output.
        """
        name = self.target.text
        text = script.encode("utf-8", "surrogateescape")
        try:
            return run_capped(self.command(), stdin=text, timeout=self.options.seconds, limit=self.options.limit)
        except EndlessOutputError:
            hint = "does its login shell print anything else?"
            raise CouldNotCheckError(f"{name}: its answer is too long", hint) from None
        except subprocess.TimeoutExpired:
            message = f"{name}: no answer within {self.options.seconds:.0f} s"
            raise CouldNotCheckError(message, "is the machine overloaded?") from None
        except OSError as error:
            raise CouldNotCheckError(f"{name}: {error.strerror}") from None


def folder_of(text: str, url: SplitResult) -> str:
    """The folder that `SCHEME:///FOLDER` names.

    Raises:
        InputError: There is none, or it is not the root of a system.
    """
    folder = Path(url.netloc + unquote(url.path))
    if not folder.is_dir():
        raise InputError(f"{text}: there is no such folder", f"write {url.scheme}:///FOLDER")
    return root_folder(text, folder)


def root_folder(text: str, folder: Path) -> str:
    """The folder, where scripts can run in it as their root.

    Raises:
        InputError: It has no shell. A link is enough: it may be meant inside the folder.
    """
    if not any(os.path.lexists(folder / path) for path in ("bin/sh", "usr/bin/sh")):
        hint = "name the folder that holds the bin, etc and usr of an unpacked image"
        raise InputError(f"{text}: not the root of a Linux system: it has no /bin/sh", hint)
    return str(folder.resolve())
