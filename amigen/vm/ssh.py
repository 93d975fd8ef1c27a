"""Commands and files over OpenSSH, with one connection that is shared."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from amigen.base.errors import ToolError
from amigen.base.processes import EndlessOutputError, find_program, run_capped, run_tool
from amigen.connections.model import ConnectOptions, Target
from amigen.connections.ssh import Ssh

# How a known host key is named, whatever the address that leads to its host.
HOST_KEY_NAME = "builder"
# Emulated machines on a busy host take minutes.
BOOT_SECONDS = 900.0
Completed: TypeAlias = "subprocess.CompletedProcess[str]"


def new_key(folder: Path) -> Path:
    """A fresh ed25519 key pair without passphrase: the private file; `.pub` is beside it."""
    key = folder / "id_ed25519"
    program = find_program("ssh-keygen", package="openssh-client", purpose="make a temporary key")
    run_tool(
        [program, "-q", "-t", "ed25519", "-N", "", "-C", "amigen", "-f", str(key)],
        doing="make a temporary key",
        timeout=30,
    )
    return key


@dataclass(frozen=True, kw_only=True)
class SshTarget:
    """A machine that is reached by ssh with a key.

    Attributes:
        control: Folder for the socket of the shared connection; a short path, sockets have at most 108 bytes.
        known_hosts: File with the only host keys to accept, under the name `HOST_KEY_NAME`; None: any host key.
        proxy: Command that ssh reaches the host through (`ProxyCommand`).
    """

    host: str
    port: int
    user: str
    key: Path
    control: Path
    options: tuple[str, ...] = field(default=())
    known_hosts: Path | None = None
    proxy: str = ""

    @property
    def as_root(self) -> Ssh:
        """Runs scripts as root, over the connection that is kept open."""
        name = f"ssh://{self.host}:{self.port}"
        target = Target(text=name, kind="ssh", name=self.host, user=self.user, port=self.port)
        return Ssh(target, ConnectOptions(ssh=tuple(self.arguments)))

    @property
    def arguments(self) -> list[str]:
        """Options of ssh and scp."""
        pairs = {
            **self._way,
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "6",
            "ControlMaster": "auto",
            # Kept until `disconnect`: a cleaned image accepts no new login, but must still be checked.
            "ControlPersist": "yes",
            "ControlPath": str(self.control / "c"),
        }
        return ["-F", "none", "-i", str(self.key), *[f"-o{k}={v}" for k, v in pairs.items()], *self.options]

    @property
    def enter(self) -> str:
        """The command with which a person enters the machine."""
        options = shlex.join(word for name, value in self._way.items() for word in ("-o", f"{name}={value}"))
        return f"ssh -i {self.key} -p {self.port} {options} {self.user}@{self.host}"

    @property
    def _way(self) -> dict[str, str]:
        """Which host keys are accepted, and what ssh goes through."""
        found = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
        # Without known host keys: a forwarded local port cannot be another host.
        if self.known_hosts:
            found = {"StrictHostKeyChecking": "yes", "UserKnownHostsFile": str(self.known_hosts)}
            found["HostKeyAlias"] = HOST_KEY_NAME
        return {**found, **({"ProxyCommand": self.proxy} if self.proxy else {})}

    def run(self, command: str | Sequence[str], *, timeout: float = 300, stdin: str | None = None) -> Completed:
        """Run a command (a string for the remote shell, or words) and return what it did, whatever its exit code.

        Raises:
            ToolError: No connection (ssh's own exit code 255), or no end within `timeout` seconds.
        """
        text = command if isinstance(command, str) else shlex.join(command)
        ssh = find_program("ssh", package="openssh-client", purpose="reach the machine")
        full = [ssh, *self.arguments, "-p", str(self.port), f"{self.user}@{self.host}", "--", text]
        try:
            done = run_capped(full, stdin=None if stdin is None else stdin.encode(), timeout=timeout)
        except EndlessOutputError as error:
            raise ToolError(f"the output of this command is too long: {error.message}: {text[:200]}") from None
        except subprocess.TimeoutExpired:
            raise ToolError(f"this command did not end within {timeout:.0f} s: {text[:200]}") from None
        stdout, stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        if done.returncode == 255 and not stdout:
            raise ToolError(f"no ssh connection to {self.user}@{self.host}:{self.port}: {stderr.strip()}")
        return subprocess.CompletedProcess(text, done.returncode, stdout, stderr)

    def wait_until_booted(self, timeout: float = BOOT_SECONDS) -> None:
        """Until everything that starts at boot has started or failed; cloud-init is part of it.

        ssh answers long before that. Source: systemctl(1), is-system-running --wait.

        Raises:
            ToolError: It is not through after `timeout` seconds; names the units that are waited for.
        """
        try:
            self.run("systemctl is-system-running --wait", timeout=timeout)
        except ToolError:
            jobs = " ".join(self.run("systemctl list-jobs --no-legend", timeout=60).stdout.split())
            raise ToolError(f"still booting after {timeout:.0f} s: {jobs}", "these units are still starting") from None

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file or folder from there.

        Raises:
            ToolError: It failed, or did not end within five minutes.
        """
        scp = find_program("scp", package="openssh-client", purpose="copy files")
        ends = [f"{self.user}@{self.host}:{source}", str(target)]
        command = [scp, "-q", "-r", *self.arguments, "-P", str(self.port), "--", *ends]
        run_tool(command, doing=f"copy {ends[0]} to {ends[1]}", timeout=300)

    def disconnect(self) -> None:
        """End the shared connection."""
        if (self.control / "c").exists():
            subprocess.run(
                ["ssh", *self.arguments, "-O", "exit", self.host],
                capture_output=True,
                check=False,
                timeout=30,
                stdin=subprocess.DEVNULL,
            )
