"""Targets as testinfra backends, with bounds: nothing waits for ever, and nothing asks a person."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from amigen.base.errors import CouldNotCheckError
from amigen.base.processes import EndlessOutputError, find_program, finish, run_capped
from amigen.verify.ssh import as_root, ssh_words
from amigen.verify.target import Kind, Target
from amigen.vm.appliance import Appliance

# Gathering takes seconds; this is for a target that hangs.
COMMAND_SECONDS = 300.0
# What ssh ends with where it is ssh that failed (ssh(1), EXIT STATUS).
_SSH_FAILED = 255
# Kind of target -> what testinfra calls to reach it, and the package that brings it.
_PROGRAMS: dict[Kind, tuple[str, str]] = {
    "ssh": ("ssh", "openssh-client"),
    "podman": ("podman", "podman"),
    "docker": ("docker", "docker.io, or docker-ce of Docker's own repository"),
    "chroot": ("chroot", "coreutils"),
    "nspawn": ("systemd-nspawn", "systemd-container"),
}


def backend_of(
    target: Target,
    *,
    ssh_options: Sequence[str] = (),
    identity: str | None = None,
    connection: subprocess.Popen[bytes] | None = None,
) -> BaseBackend:
    """The testinfra backend of a target that is there already; an image has to be booted first.

    Args:
        target: Any but an image.
        ssh_options: More of ssh's options, `Name=value`; they go before ours.
        identity: A key file for ssh.
        connection: Of `amigen.verify.ssh.connecting`, for the first command.

    Raises:
        ToolError: The program that reaches such a target is not installed.
    """
    if target.kind in _PROGRAMS:
        program, package = _PROGRAMS[target.kind]
        find_program(program, package=package, purpose=f"reach {target.text}")
    makers: dict[str, Callable[[], BaseBackend]] = {
        "ssh": lambda: _ssh(target, ssh_options, identity),
        "ssm": lambda: _ssm(target),
        "podman": lambda: _class("testinfra.backend.podman", "PodmanBackend")(target.name),
        "docker": lambda: _class("testinfra.backend.docker", "DockerBackend")(target.name),
        "chroot": lambda: _class("testinfra.backend.chroot", "ChrootBackend")(target.name),
        "nspawn": lambda: _class("amigen.testing.nspawn", "NspawnBackend")(target.name),
        "local": lambda: _with_sudo(_class("testinfra.backend.local", "LocalBackend")()),
    }
    backend = _bounded(makers[target.kind]())
    return _first_over(connection, backend) if connection else backend


def _ssh(target: Target, options: Sequence[str], identity: str | None) -> BaseBackend:
    """A backend of ssh without questions; a user that is not root becomes root by sudo."""
    made = _class("testinfra.backend.ssh", "SshBackend")(
        # Parsed by testinfra, that an IPv6 address has to be in brackets for.
        f"[{target.name}]" if ":" in target.name else target.name,
        controlpersist=0,
        ssh_extra_args=shlex.join(ssh_words(target, options, identity)),
    )
    return made if target.user == "root" else _with_sudo(made)


def machine_backend(arguments: Sequence[str], user: str, port: int, host: str = "127.0.0.1") -> BaseBackend:
    """A machine of amigen.vm, over the connection that it keeps open."""
    made = _class("testinfra.backend.ssh", "SshBackend")(
        f"{user}@{host}:{port}", controlpersist=0, ssh_extra_args=shlex.join([*arguments, "-o", "ConnectTimeout=60"])
    )
    return _bounded(made if user == "root" else _with_sudo(made))


class ApplianceBackend(BaseBackend):
    """The root of an image file that is not running, see `amigen.vm.appliance`."""

    NAME = "appliance"

    def __init__(self, appliance: Appliance) -> None:
        super().__init__(appliance.image.disk.name)
        self._appliance = appliance
        # testinfra would run Python in the root to find out.
        self._encoding = "utf-8"

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        """Run a command in the root."""
        text = self.get_command(command, *args)
        done = self._appliance.run(text, timeout=COMMAND_SECONDS)
        out, err = (_bytes(stream) for stream in (done.stdout, done.stderr))
        return self.result(done.returncode, _bytes(text), out, err)


def _ssm(target: Target) -> BaseBackend:
    from amigen.testing.ssm import SsmBackend

    return SsmBackend(target.name, region=target.region or None, profile=target.profile or None)


def _class(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


def _with_sudo(backend: Any) -> BaseBackend:
    """Root by sudo where the user is not root already; sudo never asks for a password."""
    backend.sudo = True
    backend.get_sudo_command = lambda command, _user: as_root(command)
    return backend


def _bounded(backend: Any) -> BaseBackend:
    """Local commands (ssh, podman, chroot) with an end and without a terminal."""

    def run_local(command: str, *args: str) -> CommandResult:
        text = _bytes(backend.quote(command, *args))
        return _result(backend, text, lambda: run_capped(["/bin/sh", "-c", text], timeout=COMMAND_SECONDS))

    backend.run_local = run_local
    # testinfra would run Python on the target to find out.
    backend._encoding = "utf-8"
    return backend


def _first_over(connection: subprocess.Popen[bytes], backend: Any) -> BaseBackend:
    """The backend, of which the first command goes over a connection that is on its way already."""
    usual = backend.run

    def run(command: str, *args: str, **_kwargs: Any) -> CommandResult:
        backend.run = usual
        text = _bytes(backend.quote(command, *args))
        result = _result(backend, text, lambda: finish(connection, stdin=text, timeout=COMMAND_SECONDS))
        if result.rc == _SSH_FAILED:
            # As testinfra's own.
            raise RuntimeError(result)
        return result

    backend.run = run
    return backend


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _result(backend: Any, command: bytes, run: Callable[[], subprocess.CompletedProcess[bytes]]) -> CommandResult:
    try:
        done = run()
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
    return backend.result(done.returncode, command, done.stdout, done.stderr)
