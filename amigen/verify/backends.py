"""Targets as testinfra backends, with bounds: nothing waits for ever, and nothing asks a person."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from amigen.errors import CouldNotCheckError
from amigen.tools import EndlessOutputError, find_program, run_capped
from amigen.verify.report import Kind
from amigen.verify.target import Target

# Gathering takes seconds; this is for a target that hangs.
COMMAND_SECONDS = 300.0
CONNECT_SECONDS = 15
# Kind of target -> what testinfra calls to reach it, and the package that brings it.
_PROGRAMS: dict[Kind, tuple[str, str]] = {
    "ssh": ("ssh", "openssh-client"),
    "podman": ("podman", "podman"),
    "docker": ("docker", "docker.io, or docker-ce of Docker's own repository"),
    "chroot": ("chroot", "coreutils"),
    "nspawn": ("systemd-nspawn", "systemd-container"),
}
_SSH_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_SECONDS}",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=6",
    "LogLevel=ERROR",
)


def backend_of(target: Target, *, ssh_options: Sequence[str] = (), identity: str | None = None) -> BaseBackend:
    """The testinfra backend of a target that is there already; an image has to be booted first.

    Args:
        target: Any but an image.
        ssh_options: More of ssh's options, `Name=value`; they go before ours.
        identity: A key file for ssh.

    Raises:
        ToolError: The program that reaches such a target is not installed.
    """
    if target.kind in _PROGRAMS:
        program, package = _PROGRAMS[target.kind]
        find_program(program, package=package, purpose=f"reach {target.text}")
    makers: dict[str, Callable[[], BaseBackend]] = {
        "ssh": lambda: ssh_backend(target, ssh_options=ssh_options, identity=identity),
        "ssm": lambda: _ssm(target),
        "podman": lambda: _class("testinfra.backend.podman", "PodmanBackend")(target.name),
        "docker": lambda: _class("testinfra.backend.docker", "DockerBackend")(target.name),
        "chroot": lambda: _class("testinfra.backend.chroot", "ChrootBackend")(target.name),
        "nspawn": lambda: _class("amigen.testing.nspawn", "NspawnBackend")(target.name),
        "local": lambda: _with_sudo(_class("testinfra.backend.local", "LocalBackend")()),
    }
    return _bounded(makers[target.kind]())


def ssh_backend(target: Target, *, ssh_options: Sequence[str] = (), identity: str | None = None) -> BaseBackend:
    """A backend of ssh without questions; a user that is not root becomes root by sudo."""
    options = [word for option in (*ssh_options, *_SSH_OPTIONS) for word in ("-o", option)]
    name = f"{target.user}@{target.name}" if target.user else target.name
    made = _class("testinfra.backend.ssh", "SshBackend")(
        # Parsed by testinfra: a port is added to an IPv6 address in brackets only.
        name if ":" not in target.name else name.replace(target.name, f"[{target.name}]"),
        ssh_identity_file=identity,
        timeout=CONNECT_SECONDS,
        # One round trip needs no shared connection.
        controlpersist=0,
        ssh_extra_args=shlex.join(options),
    )
    if target.port:
        made.host.port = str(target.port)
    return made if target.user == "root" else _with_sudo(made)


def machine_backend(arguments: Sequence[str], user: str, port: int, host: str = "127.0.0.1") -> BaseBackend:
    """A machine of amigen.vm, over the connection that it keeps open."""
    made = _class("testinfra.backend.ssh", "SshBackend")(
        f"{user}@{host}:{port}", controlpersist=0, ssh_extra_args=shlex.join([*arguments, "-o", "ConnectTimeout=60"])
    )
    return _bounded(made if user == "root" else _with_sudo(made))


def _ssm(target: Target) -> BaseBackend:
    from amigen.testing.ssm import SsmBackend

    return SsmBackend(target.name, region=target.region or None, profile=target.profile or None)


def _class(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


def _with_sudo(backend: Any) -> BaseBackend:
    """Root by sudo where the user is not root already; sudo never asks for a password."""

    def get_sudo_command(command: str, _user: str | None) -> str:
        quoted = shlex.quote(command)
        return f'if [ "$(id -u)" = 0 ]; then set --; else set -- sudo -n --; fi; "$@" /bin/sh -c {quoted}'

    backend.sudo = True
    backend.get_sudo_command = get_sudo_command
    return backend


def _bounded(backend: Any) -> BaseBackend:
    """Local commands (ssh, podman, chroot) with an end and without a terminal."""

    def run_local(command: str, *args: str) -> CommandResult:
        text = backend.quote(command, *args).encode("utf-8", "surrogateescape")
        try:
            done = run_capped(["/bin/sh", "-c", text], timeout=COMMAND_SECONDS)
        except EndlessOutputError:
            raise CouldNotCheckError(
                f"{backend.get_pytest_id()}: its answer does not end", "what else does it print at a login?"
            ) from None
        except subprocess.TimeoutExpired:
            raise CouldNotCheckError(
                f"{backend.get_pytest_id()}: no answer within {COMMAND_SECONDS:.0f} s", "is the machine overloaded?"
            ) from None
        except OSError as error:
            raise CouldNotCheckError(f"{backend.get_pytest_id()}: {error.strerror}") from None
        return backend.result(done.returncode, text, done.stdout, done.stderr)

    backend.run_local = run_local
    # testinfra would run Python on the target to find out.
    backend._encoding = "utf-8"
    return backend
